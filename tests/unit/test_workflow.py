"""The workflow format, dialect by dialect."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stepflow.errors import DocumentError, UsageError
from stepflow.workflow import Workflow, load, parse, with_sources

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "examples/microservices/workflow.md"
CHAIN = [(1, 2), (2, 4), (4, 6), (6, 7), (7, 8)]


def only(text: str) -> Workflow:
    """Return the one workflow of a document without errors."""
    workflows, found = parse(text, "w.md")
    assert [problem for problem in found if problem.severity == "error"] == []
    assert len(workflows) == 1
    return workflows[0]


def pairs(workflow: Workflow) -> list[tuple[int, int]]:
    return [(edge.source, edge.target) for edge in workflow.edges]


def codes(text: str) -> list[str]:
    return [problem.code for problem in parse(text, "w.md")[1]]


def steps(*bodies: str) -> str:
    return "".join(f"## Step {n}\n- Playbook: shell\n- Prompt: p\n{body}\n" for n, body in enumerate(bodies, 1))


def test_the_reference_document_is_understood_without_a_diagnostic() -> None:
    workflow = load(str(REFERENCE))
    assert parse(REFERENCE.read_text(), "w.md")[1] == ()
    assert [step.number for step in workflow.steps] == list(range(1, 9))
    assert workflow.steps[2].title == "Order Processing Service (Independent)"
    assert workflow.steps[7].playbook == "orchestration"
    assert pairs(workflow) == CHAIN
    assert workflow.edges[0].reason == "user service needs service discovery"
    assert workflow.edges[0].span.line == 91
    assert workflow.steps[3].fields["prompt"].span.line == 43
    assert [text.value for text in workflow.outcomes][0::6] == [
        "Service mesh with API gateway",
        "Auto-scaling Kubernetes deployment",
    ]
    assert len(workflow.patterns) == 6
    assert workflow.complexity
    assert (workflow.complexity.value, workflow.complexity.span.line) == ("Advanced (8 Steps)", 3)
    assert workflow.overview.startswith("This workflow demonstrates")
    assert workflow.name == "microservices-architecture-development-workflow"


def test_the_flags_of_the_reference_document_alone_give_the_documented_chain() -> None:
    text = REFERENCE.read_text().partition("## Dependency Chain Analysis")[0]
    assert pairs(only(text)) == CHAIN


@pytest.mark.parametrize(
    "heading",
    [
        "## Step 1 ##",
        "# Step 1: T",
        "### Step 1:T",
        "###### step 1",
        "Step 1: T\n---",
        "## **Step 1**: T",
        "## Step #1 - T",
    ],
)
def test_a_step_is_a_heading_at_any_level_closed_or_not(heading: str) -> None:
    step = only(f"{heading}\n- Prompt: p\n").steps[0]
    assert (step.number, step.title, step.prompt) == (1, "T" if "T" in heading else "", "p")


@pytest.mark.parametrize("heading", ["## Steps", "## Stepwise 1", "## Step 4 \u2192 Step 2"])
def test_other_headings_are_no_steps(heading: str) -> None:
    assert codes(f"{heading}\n- Prompt: p\n") == ["SF101"]


@pytest.mark.parametrize(
    "change", [lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t, lambda t: t.rstrip("\n")]
)
def test_line_ends_marks_and_missing_newlines_change_nothing(change: object) -> None:
    assert callable(change)
    text = REFERENCE.read_text()
    assert only(change(text)) == only(text)


@pytest.mark.parametrize("info", ["markdown", "md", "", "Markdown title=x"])
def test_a_fence_that_begins_with_a_step_defines_steps(info: str) -> None:
    workflow = only(f"# T\n```{info}\n## Step 1\n- Prompt: one\n## Step 2\n- Prompt: two\n```\n")
    assert [step.prompt for step in workflow.steps] == ["one", "two"]
    assert workflow.steps[1].fields["prompt"].span.line == 6


@pytest.mark.parametrize(
    "fence", ["```bash\n## Step 2\n- Prompt: x\n```", "    ## Step 2\n    - Prompt: x", "<!--\n## Step 2\n-->"]
)
def test_other_fences_indented_code_and_comments_define_nothing(fence: str) -> None:
    assert len(only(f"## Step 1\n- Prompt: p\n\n{fence}\n").steps) == 1


def test_an_outer_heading_and_its_fence_are_one_step_titled_by_the_heading() -> None:
    workflow = only("### Step 3: Outer\n~~~md\n## Step 3: Inner ##\n- Prompt: p\n~~~\n")
    assert [(step.number, step.title) for step in workflow.steps] == [(3, "Outer")]


def test_numbers_need_not_be_contiguous() -> None:
    assert pairs(only("## Step 2\n- Prompt: p\n## Step 10\n- Prompt: p\n")) == [(2, 10)]


@pytest.mark.parametrize(
    "second",
    ["## B\n### Step 1\n- Prompt: b", "## B\n### Step 2\n- Prompt: b\n### Step 3\n- Prompt: b"],
)
def test_the_same_number_under_another_heading_is_another_workflow(second: str, tmp_path: Path) -> None:
    file = tmp_path / "w.md"
    file.write_text(f"# Doc\n## A\n### Step 1\n- Prompt: a\n### Step 2\n- Prompt: a\n{second}\n")
    assert [workflow.title for workflow in parse(file.read_text(), "w.md")[0]] == ["A", "B"]
    assert load(f"{file}#b").steps[0].prompt == "b"
    with pytest.raises(UsageError, match="holds 2 workflows") as raised:
        load(str(file))
    assert raised.value.hint == f"say which: `{file}#a` (line 2), `{file}#b` (line 7)"
    with pytest.raises(UsageError, match="holds no workflow `bb`") as raised:
        load(f"{file}#bb")
    assert raised.value.hint.startswith(("did you mean", "it holds"))


def test_two_fences_that_both_begin_with_step_1_are_two_workflows() -> None:
    fence = "```markdown\n## Step 1\n- Prompt: p\n## Step 2\n- Prompt: p\n```\n"
    assert [workflow.name for workflow in parse(f"# T\n{fence}\n{fence}", "w.md")[0]] == ["t", "t-2"]


def test_workflows_of_one_file_have_names_of_their_own_that_a_platform_can_have() -> None:
    step = "## Step 1\n- Prompt: p\n"
    titles = ("A", "A 2", "A", "W" * 60, "W" * 60)
    names = [workflow.name for workflow in parse("\n".join(f"# {title}\n{step}" for title in titles), "w.md")[0]]
    assert names == ["a", "a-2", "a-2-2", "w" * 48, "w" * 46 + "-2"]


def test_headings_without_fields_are_prose_where_there_are_real_steps() -> None:
    text = "# T\n## How\n### Step 1: install it\n### Step 2: run it\n## Do\n### Step 1\n- Prompt: p\n"
    assert [step.prompt for step in only(text).steps] == ["p"]


def test_keys_are_compared_without_case_spaces_and_dashes() -> None:
    step = only("## Step 1\n- playbook_ID: playbook-shell\n* PROMPT : p\n+ **hand-off**: h\n- Max Items: 3\n").steps[0]
    assert (step.playbook, step.prompt, step.handoff) == ("shell", "p", "h")
    assert step.inputs["maxitems"].key == "Max Items"


@pytest.mark.parametrize("value", ["", "<none>", "none", "NULL", "`none`", "<!-- later -->"])
def test_words_for_nothing_mean_no_playbook(value: str) -> None:
    text = f"## Step 1\n- Playbook: {value}\n- Prompt: p\n"
    assert only(text).steps[0].playbook is None
    assert codes(text) == ["SF108"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("one\n  two\n", "one\ntwo"),
        ("one\nlazy\n", "one\nlazy"),
        ("one\n  - a\n    - b\n", "one\n- a\n  - b"),
        ("\n\n  late\n", "late"),
        ("\n  ```bash\n  make\n    all\n  ```\n", "make\n  all"),
        ("\n```\nmake\n```\n", "make"),
        ("`make all`\n", "make all"),
        ("`a` and `b`\n", "`a` and `b`"),
        ("one\n\n  two\n", "one\n\ntwo"),
        ("one\n\ntwo\n", "one\n\ntwo"),
        ("one\n- not a field\n", "one\n- not a field"),
        ("see https://example.com: now\n", "see https://example.com: now"),
        ("\tone\u00a0two \n", "one\u00a0two"),
    ],
)
def test_nothing_of_a_value_is_dropped(written: str, read: str) -> None:
    step = only(f"## Step 1\n- Prompt: {written}- Handoff: h\n").steps[0]
    assert (step.prompt, step.handoff) == (read, "h")


def test_prose_behind_the_last_field_is_not_its_value() -> None:
    step = only("## Step 1\n- Prompt: p\n- Handoff: h\n\nThis step is the nicest.\n\n---\n").steps[0]
    assert step.handoff == "h"


def test_a_repo_holds_for_later_steps_until_none_ends_it() -> None:
    workflow = only(steps("", "- Repo: https://example.com/r", "", "- Repo: none", ""))
    assert [step.repo for step in workflow.steps] == [None, *["https://example.com/r"] * 2, None, None]


def test_an_error_of_load_carries_every_diagnostic_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "w.md"
    file.write_text("## Step 1\n- Playbook: x\n## Step 1\n- Prompt: p\n")
    with pytest.raises(DocumentError, match="2 errors in the document") as raised:
        load(str(file))
    assert [(problem.code, problem.source) for problem in raised.value.diagnostics if problem.severity == "error"] == [
        ("SF105", "## Step 1"),
        ("SF103", "## Step 1"),
    ]


def test_a_file_that_is_not_there_or_not_text_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "workflow.md").write_bytes(b"ok\n\xff")
    with pytest.raises(UsageError, match=r"there is no file `.*workflw.md`") as raised:
        load(str(tmp_path / "workflw.md"))
    assert raised.value.hint == f"did you mean `{tmp_path / 'workflow.md'}`?"
    with pytest.raises(UsageError, match="is not UTF-8 text: byte 0xff in line 2"):
        load(str(tmp_path / "workflow.md"))
    with pytest.raises(UsageError, match="is a folder"):
        load(str(tmp_path))


def test_sources_are_added_from_the_file_as_it_is_now(tmp_path: Path) -> None:
    file = tmp_path / "w.md"
    file.write_text("# No step\n")
    found = parse(file.read_text(), str(file))[1][0]
    bare = type(found)(found.code, found.severity, found.span, found.message)
    assert with_sources([bare])[0].source == "# No step"


def test_every_code_is_documented_once_and_every_documented_code_exists() -> None:
    sources = [path.read_text() for path in (ROOT / "src/stepflow").rglob("*.py")]
    used = {code for text in sources for code in re.findall(r'"(SF\d{3})"', text)}
    documented = re.findall(r"^\| (SF\d{3}) \|", (ROOT / "docs/diagnostics.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(used)


def test_title_that_is_called_as_a_section_does_not_hide_the_section() -> None:
    text = "# Expected Outcomes\n\n## Step 1\n- Prompt: p\n\n## Expected Outcomes\n- It works\n"
    (workflow,), _ = parse(text, "w.md")
    assert [each.value for each in workflow.outcomes] == ["It works"]


def test_a_link_to_nothing_and_a_name_that_is_empty_are_not_suggested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dangling.md").symlink_to("gone.md")
    with pytest.raises(UsageError) as raised:
        load("dangling.md")
    assert raised.value.message == "`dangling.md` is a link to `gone.md`, which is not there"
    assert raised.value.hint == "`stepflow init` writes a workflow to start with"
    with pytest.raises(UsageError) as raised:
        load("danglin.md")
    assert (raised.value.message, raised.value.hint) == (
        "there is no file `danglin.md`",
        "`stepflow init` writes a workflow to start with",
    )
    for path in ("#t", ""):
        with pytest.raises(UsageError) as raised:
            load(path)
        assert raised.value.message == "the name of the file is empty"
        assert raised.value.hint == "write `FILE`, or `FILE#heading`"


def test_a_folder_proposes_its_workflow_before_its_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("README.md", "workflow.md", "another.md"):
        Path(name).touch()
    Path("a.md").mkdir()
    with pytest.raises(UsageError) as raised:
        load(".")
    assert raised.value.hint == "name a file: `workflow.md` or `another.md` or `README.md`"
