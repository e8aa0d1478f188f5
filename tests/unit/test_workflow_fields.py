"""Nothing that stands under a step vanishes unsaid: it is read where the meaning is plain, else there is a warning."""

from __future__ import annotations

import pytest

from stepflow.registry import check
from stepflow.workflow import parse

UNREAD = "write it as a list item under the step's heading: "


def said(text: str) -> list[str]:
    """Return each problem as `code severity line:column message | hint`."""
    return [
        f"{each.code} {each.severity} {each.span.line}:{each.span.column} {each.message} | {each.hint}"
        for each in parse(text, "w.md")[1]
    ]


@pytest.mark.parametrize("name", ["Step 2a", "Step 2.5", "Step Three", "Step A: more", "Step 1234567890"])
@pytest.mark.parametrize("level", ["##", "###"])
def test_fields_under_a_heading_that_is_nearly_a_step_are_a_warning(level: str, name: str) -> None:
    text = f"## Step 1\n- Playbook: shell\n- Prompt: p\n{level} {name}\n- Playbook: shell\n- Prompt: q\n"
    message = f"`{name}` is not a step, so the fields under it are not read"
    assert said(text) == [f"SF114 warning 4:1 {message} | number steps with whole numbers: `## Step 3: Title`"]
    assert [step.prompt for step in parse(text, "w.md")[0][0].steps] == ["p"]


@pytest.mark.parametrize("title", ["A \u2192 B", "from a -> b", "Step 2 => Step 3"])
def test_an_arrow_in_a_title_is_a_part_of_it(title: str) -> None:
    ((workflow,), problems) = parse(f"## Step 1: {title}\n- Playbook: shell\n- Prompt: p\n", "w.md")
    assert (workflow.steps[0].title, problems) == (title, ())


@pytest.mark.parametrize("heading", ["### Step by step", "## Step 2a", "## Steps", "## Step 2 -> Step 1\n- Prompt: x"])
def test_a_heading_that_is_nearly_a_step_and_has_no_fields_is_prose(heading: str) -> None:
    assert said(f"## Step 1\n- Playbook: shell\n- Prompt: p\n{heading}\n- words\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "## Step 1\n- Playbook: shell\n### How\n- Prompt: p\n- Creates: x\n",
        "## Step 1\n- Playbook: shell\n- Prompt: p\n#### Inputs\n- Creates: x\n",
        "### Step 1: T\n```\n## Step 1\n- Playbook: shell\n### How\n- Prompt: p\n- Creates: x\n```\n",
        "### Step 1: T\n```\n## Step 1\n- Playbook: shell\n```\n#### How\n- Prompt: p\n- Creates: x\n",
        "```\n## Step 1\n- Playbook: shell\n### How\n- Prompt: p\n#### A\n- Id: h\n### Inputs\n- Creates: x\n```\n",
    ],
)
def test_fields_under_a_heading_below_a_step_are_its_fields(text: str) -> None:
    (workflow,), problems = parse(text, "w.md")
    (step,) = workflow.steps
    assert (step.playbook, step.prompt, step.inputs["creates"].value, problems) == ("shell", "p", "x", ())


@pytest.mark.parametrize(
    "text",
    [
        "## Step 1\n- Playbook: shell\n- Prompt: p\n### Notes\n- Note: x\n",
        "## Step 1\n- Playbook: shell\n- Prompt: p\n## How\n- Prompt: x\n",
        "## W\n```\n## Step 1\n- Playbook: shell\n- Prompt: p\n```\n### How\n- Prompt: x\n",
    ],
)
def test_what_stands_under_other_headings_is_prose(text: str) -> None:
    (workflow,), problems = parse(text, "w.md")
    assert ([step.prompt for step in workflow.steps], problems) == (["p"], ())


@pytest.mark.parametrize(
    "text",
    [
        "**Playbook:** shell\n**Prompt:** make\n  all\n**Creates:** x\n",
        "**Playbook**: shell  \n**Prompt**: make\nall\\\n**Creates**: x\\\n",
        "__Playbook:__ shell\n\n__Prompt:__\n\nmake\nall\n\n__Creates:__ x\n\nThat is all.\n",
        "Words.\n**Playbook:** shell\n**Prompt:**\n```\nmake\nall\n```\n**Creates:** x\n",
    ],
)
def test_bold_paragraphs_are_fields(text: str) -> None:
    (workflow,), problems = parse(f"## Step 1\n{text}", "w.md")
    (step,) = workflow.steps
    assert (step.playbook, step.prompt, step.inputs["creates"].value, problems) == ("shell", "make\nall", "x", ())
    assert step.fields["prompt"].span.line in {3, 4, 5}


def test_beside_a_list_of_fields_bold_words_are_fields_only_if_the_format_knows_them() -> None:
    text = "## Step 1\n- Playbook: shell\n- Prompt: p\n\n**Note:** nice\n\n**Handoff:** h\n"
    (workflow,), problems = parse(text, "w.md")
    assert (workflow.steps[0].prompt, workflow.steps[0].handoff, workflow.steps[0].inputs) == (
        "p\n\n**Note:** nice",
        "h",
        {},
    )
    assert problems == ()


@pytest.mark.parametrize(
    ("block", "where", "key"),
    [
        ("> - Prompt: p\n> - Handoff: h\n", "4:5 {} stands in a quotation", "Prompt"),
        ("> **Handoff:** h\n", "4:5 {} stands in a quotation", "Handoff"),
        ("| Prompt | Handoff |\n|---|---|\n| p | h |\n", "4:3 {} stands in a table", "Prompt"),
        ("Some words.\nPrompt: p\n", "5:1 {} stands in a paragraph", "Prompt"),
        ("<details>\n- Prompt: p\n</details>\n", "5:3 {} stands in HTML", "Prompt"),
        ("```yaml\nsteps:\n  - playbook: shell\n```\n", "6:5 {} stands in a fence", "playbook"),
    ],
)
def test_a_field_that_stands_where_it_is_not_read_is_a_warning(block: str, where: str, key: str) -> None:
    text = f"## Step 1\n- Playbook: shell\n\n{block}"
    place = where.format(f"`{key}`")
    hint = f"{UNREAD}`- {key.capitalize()}: ...`"
    warning = f"SF115 warning {place} here, so it is not read as a field of step 1 | {hint}"
    assert said(text) == ["SF105 error 1:1 step 1 has no `Prompt` | describe what to build: `- Prompt: ...`", warning]


@pytest.mark.parametrize(
    "block",
    [
        "<!-- - Prompt: x -->\n",
        "```bash\necho repo: x\nid: 5\n```\n",
        "See the repo: it is nice.\n",
        "> Handoff by hand\n",
    ],
)
def test_what_only_looks_like_a_field_is_not_reported(block: str) -> None:
    assert said(f"## Step 1\n- Playbook: shell\n- Prompt: p\n\n{block}") == []


def test_a_quotation_of_fields_below_a_value_is_reported_although_it_belongs_to_the_value() -> None:
    text = "## Step 1\n- Playbook: shell\n- Prompt: p\n> - Handoff: h\n"
    message = "`Handoff` stands in a quotation here, so it is not read as a field of step 1"
    assert said(text) == [f"SF115 warning 4:5 {message} | {UNREAD}`- Handoff: ...`"]


STEPS = "## Step 1\n- Playbook: shell\n- Prompt: p\n## Step 2\n- Prompt: q\n"
FENCE = f"```markdown\n# My flow\n\nWhat it does.\n\n{STEPS}```\n"


def test_a_fence_that_begins_with_a_title_is_read_where_nothing_else_defines_a_step() -> None:
    (workflow,), problems = parse(f"Words.\n\n{FENCE}", "w.md")
    assert (workflow.title, workflow.overview, [step.prompt for step in workflow.steps]) == (
        "My flow",
        "What it does.",
        ["p", "q"],
    )
    assert [problem.code for problem in problems] == ["SF108"]
    other = FENCE.replace("My flow", "Other")
    assert [each.title for each in parse(FENCE + other, "w.md")[0]] == ["My flow", "Other"]


def test_a_fence_that_begins_with_a_title_is_read_under_the_heading_of_its_only_step() -> None:
    fence = "```\n# Details\n## Step 2\n- Playbook: shell\n- Prompt: q\n```\n"
    (workflow,), problems = parse(f"### Step 1\n- Playbook: shell\n- Prompt: p\n### Step 2: Two\n{fence}", "w.md")
    assert ([(step.title, step.prompt) for step in workflow.steps], problems) == ([("", "p"), ("Two", "q")], ())


def test_a_fence_that_begins_with_a_title_beside_other_steps_is_a_warning() -> None:
    text = f"# T\n## Step 1\n- Playbook: shell\n- Prompt: p\n\nAn example:\n\n{FENCE}"
    message = "this fence begins with the heading `My flow`, so its steps are not read"
    assert said(text) == [f"SF117 warning 13:1 {message} | put that heading above the fence, or remove it"]


@pytest.mark.parametrize("key", ["Depends On", "depends", "Needs", "After", "requires", "Dependencies", "blocked-by"])
@pytest.mark.parametrize("playbook", ["shell", "none", "unknown"])
def test_a_synonym_of_rely_previous_step_is_asked_whether_it_is_meant(key: str, playbook: str) -> None:
    text = f"## Step 1\n- Prompt: p\n## Step 2\n- Playbook: {playbook}\n- Prompt: p\n- {key}: Step 1\n"
    (problem,) = [each for each in check(text, "w.md")[1] if each.code == "SF302"]
    assert (problem.severity, problem.span.line, problem.hint) == ("error", 6, "did you mean `RelyPreviousStep`?")


def test_a_list_of_headings_for_people_is_one_remark() -> None:
    text = "# Runbook\n## Step 1: Stop it\nPull the plug.\n## Step 2: Wait\n- a minute\n## Step 3: Start it\n"
    message = "the 3 steps have no fields, so a run does nothing: this is a list for people"
    hint = "give a step something to do: `- Playbook: ...` and `- Prompt: ...` under its heading"
    assert said(text) == [f"SF116 info 2:1 {message} | {hint}"]
    assert len(parse(text, "w.md")[0][0].steps) == 3


def test_steps_whose_fields_cannot_be_read_are_errors_as_ever() -> None:
    text = "## Step 1\n> - Prompt: p\n## Step 2a\n- Prompt: q\n"
    assert [each.partition(" ")[0] for each in said(text)] == ["SF105", "SF108", "SF115", "SF114"]


def test_headings_without_fields_beside_real_steps_are_prose_in_any_order() -> None:
    text = (
        "# T\n## How\n### Step 2: b\n### Step 1: a\n### Step 1: a\n## Do\n### Step 1\n- Playbook: shell\n- Prompt: p\n"
    )
    assert said(text) == []


def test_a_comment_that_is_never_closed_and_contains_steps_is_a_warning() -> None:
    text = "## Step 1\n- Playbook: shell\n- Prompt: p\n\n<!-- later\n\n## Step 2\n- Prompt: q\n"
    message = "the comment that opens here is never closed, so it contains the rest of the document"
    assert said(text) == [f"SF109 warning 5:1 {message} | close it with `-->`"]


def test_a_step_right_below_a_quotation_is_a_step() -> None:
    text = "## Step 1\n- Playbook: shell\n- Prompt: p\n\n> That was it.\n## Step 2\n- Playbook: shell\n- Prompt: q\n"
    (workflow,), problems = parse(text, "w.md")
    assert ([step.prompt for step in workflow.steps], problems) == (["p", "q"], ())


@pytest.mark.parametrize("name", ["Step one", "Step 1.5"])
def test_a_document_of_headings_that_are_nearly_steps_has_no_step(name: str) -> None:
    assert [each.partition(" ")[0] for each in said(f"## {name}\n- Prompt: p\n")] == ["SF101", "SF114"]
