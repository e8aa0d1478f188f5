"""What relies on what: named steps, the dependency section, the main chain."""

from __future__ import annotations

import pytest

from stepflow.workflow import Workflow, parse
from stepflow.workflow.references import Named
from stepflow.workflow.relies import Relies, Unread, read_relies


def only(text: str) -> Workflow:
    """Return the one workflow of a document without errors."""
    workflows, found = parse(text, "w.md")
    assert [problem for problem in found if problem.severity == "error"] == []
    assert len(workflows) == 1
    return workflows[0]


def pairs(workflow: Workflow) -> list[tuple[int, int]]:
    return [(edge.source, edge.target) for edge in workflow.edges]


def steps(*bodies: str) -> str:
    return "".join(f"## Step {n}\n- Playbook: shell\n- Prompt: p\n{body}\n" for n, body in enumerate(bodies, 1))


@pytest.mark.parametrize(
    ("value", "relies"),
    [
        ("YES", Relies(flag=True)),
        ("0", Relies(flag=False)),
        ("no - runs alone", Relies(flag=False, why="runs alone")),
        ("no - unlike Step 2", Relies(flag=False, why="unlike Step 2")),
        ("yes, it does", Relies(flag=True, why="it does")),
        ("yes (Step 2 makes it)", Relies(flag=True, why="Step 2 makes it")),
    ],
)
def test_yes_and_no_may_have_a_reason(value: str, relies: Relies) -> None:
    assert read_relies(value) == relies


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("Step 2", [(2, 2, "")]),
        ("Step 2, Step 5", [(2, 2, ""), (5, 5, "")]),
        ("Steps 2 and 5", [(2, 2, ""), (5, 5, "")]),
        ("Steps 2, 3, and 5 - all", [(2, 2, "all"), (3, 3, "all"), (5, 5, "all")]),
        ("Step 2 - needs a, b and c, Step 5 - too", [(2, 2, "needs a, b and c"), (5, 5, "too")]),
        ("Step 2 (why), Step 3", [(2, 2, "why"), (3, 3, "")]),
        ("- Step 2\n- Step 3 \u2014 why", [(2, 2, ""), (3, 3, "why")]),
        ("**Step 2**, [Step 3](#step-3) & _Step 4_", [(2, 2, ""), (3, 3, ""), (4, 4, "")]),
        ("Step 2: what Step 1 made", [(2, 2, "what Step 1 made")]),
        ("Step 2 (the gateway) - why", [(2, 2, "why")]),
        ("Step 2-4", [(2, 4, "")]),
        ("Steps 1 \u2013 3", [(1, 3, "")]),
        ("Steps 2, 4\u20116 & 8 (x)", [(2, 2, "x"), (4, 6, "x"), (8, 8, "x")]),
        ("Step 1 \u2014 Step 3", [(1, 3, "")]),
        ("steps 1 to 3", [(1, 3, "")]),
        ("yes (Step 2)", [(2, 2, "")]),
        ("Yes, Step 2 and 3", [(2, 2, ""), (3, 3, "")]),
        ("yes - Steps 1\u20133 (all of them)", [(1, 3, "all of them")]),
        ("yes Step 2", [(2, 2, "")]),
        ("true: 2, 3", [(2, 2, ""), (3, 3, "")]),
    ],
)
def test_every_step_that_is_named_is_read(value: str, named: list[tuple[int, int, str]]) -> None:
    assert read_relies(value) == Relies(None, named=tuple(Named(*each) for each in named))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("perhaps", "perhaps"),
        ("Step", "Step"),
        ("Step 2a", "Step 2a"),
        ("Step 2.5", "Step 2.5"),
        ("Step Two", "Step Two"),
        ("Step 1234567890", "Step 1234567890"),
        ("Step 2 and", "and"),
        ("Step 2 and the gateway", "the gateway"),
        ("Step 2 (and Step 3)", "(and Step 3)"),
        ("Step 2 - also Step 4", "also Step 4"),
        ("Step 1 - Step 3 is needed", "is needed"),
        ("Step 2 - 3 reasons", "reasons"),
        ("Steps 2 3", "3"),
        ("Step 2 (why", "(why"),
        ("Step 2, 3a", "3a"),
        ("yes, Step 2 and the gateway", "the gateway"),
        ("yes (Step 2) and Step 3", "and Step 3"),
        ("no, Step 2", "no, Step 2"),
        ("no (Steps 2 and 3)", "no (Steps 2 and 3)"),
        ("1, 2", "1, 2"),
        ("1-3", "1-3"),
    ],
)
def test_what_is_not_understood_is_never_a_shorter_meaning(value: str, words: str) -> None:
    assert read_relies(value) == Unread(words)


def test_yes_means_the_nearest_earlier_step_that_is_not_marked_no() -> None:
    no, yes = "- RelyPreviousStep: no", "- RelyPreviousStep: true"
    assert pairs(only(steps(no, no, yes, no, "", yes))) == [(1, 3), (3, 5), (5, 6)]


def test_named_steps_count_before_the_section_and_the_section_before_the_flags() -> None:
    section = "## Dependency Chain Analysis\n- Step 2 -> Step 1 (b -> a)\n- Step 1 \u2192 Step 4: any way round\n"
    text = steps("", "- RelyPreviousStep: yes", "- RelyPreviousStep: Steps 1 and 2 - both", "") + section
    assert [(edge.source, edge.target, edge.reason) for edge in only(text).edges] == [
        (1, 2, "b -> a"),
        (1, 3, "both"),
        (2, 3, "both"),
        (1, 4, "any way round"),
    ]


def test_an_arrow_line_may_name_several_steps_and_go_on() -> None:
    section = (
        "## Dependency Chain Analysis\n```\nStep 1 (One) --> Step 2 \u2192 Step 3\n```\nSteps 1 and 3 => Step 4.\n"
    )
    assert pairs(only(steps("", "", "", "") + section)) == [(1, 2), (2, 3), (1, 4), (3, 4)]


def test_a_wrong_count_is_a_warning_that_names_the_lines() -> None:
    text = "# T\n\n**Complexity**: 4 steps\n**Dependencies**: 2 dependent, 2 independent steps\n" + steps("", "", "")
    messages = [problem.message for problem in parse(text, "w.md")[1]]
    assert messages == [
        "this line counts 4 steps, but there are 3: 1 (line 5), 2 (line 9), 3 (line 13)",
        "this line counts 2 independent steps, but there are 1: 1 (line 5)",
    ]


@pytest.mark.parametrize(
    ("relies", "hint"),
    [
        ("Step 9", "did you mean `Step 2`? the steps are 1 to 3"),
        ("Step 2, Step 9", "did you mean `Step 1`? the steps are 1 to 3"),
        ("Step 1, Step 2, Step 9", "the steps are 1 to 3"),
        ("9", "write `yes`, `no`, or the steps: `Step 2, Step 5 - why`"),
        ("3", "write `yes`, `no`, or the steps: `Step 2, Step 5 - why`"),
        ("2", "did you mean `Step 2`?"),
    ],
)
def test_step_that_is_suggested_is_an_earlier_one_that_is_not_named_already(relies: str, hint: str) -> None:
    no = "- RelyPreviousStep: no"
    (problem,) = parse(steps(no, no, f"- RelyPreviousStep: {relies}"), "w.md")[1]
    assert problem.hint == hint


def test_step_that_is_suggested_for_an_arrow_is_not_at_its_other_end() -> None:
    no = "- RelyPreviousStep: no"
    section = "## Dependency Chain Analysis\n- Step 3 -> Step 9\n"
    problems = parse(steps(no, no, no) + section, "w.md")[1]
    assert [each.hint for each in problems if each.code == "SF202"] == ["did you mean `Step 2`? the steps are 1 to 3"]
    (problem,) = parse(steps("- RelyPreviousStep: Step 9"), "w.md")[1]
    assert problem.hint == "the only step is 1"


NO = "- RelyPreviousStep: no"
SECTION = "## Dependency Chain Analysis\n"


def said(text: str) -> list[str]:
    """Return each problem as `code severity line:column message | hint`."""
    return [
        f"{each.code} {each.severity} {each.span.line}:{each.span.column} {each.message} | {each.hint}"
        for each in parse(text, "w.md")[1]
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Step 4 \u2192 Steps 1-3 (x)", [(1, 4, "x"), (2, 4, "x"), (3, 4, "x")]),
        ("Steps 3\u20134 \u2192 Step 2, 1: why", [(1, 3, "why"), (2, 3, "why"), (1, 4, "why"), (2, 4, "why")]),
        ("Step 4 \u2192 Step 2 (a), Step 3 (b)", [(2, 4, "a"), (3, 4, "b")]),
        ("**Step 4: Payment** \u2192 **Step 2: Users** - why", [(2, 4, "Users - why")]),
        ("Payment (Step 4) => Gateway (Step 1), Users (Step 2) - both", [(1, 4, "both"), (2, 4, "both")]),
        ("Step 1 (One) and Step 2 (Two) -> Step 4", [(1, 4, ""), (2, 4, "")]),
        ("Main chain: Start \u2192 Step 1 \u2192 Step 2 \u2192 Step 4 \u2192 End", [(1, 2, ""), (2, 4, "")]),
        ("1 \u2192 2 \u2192 4", [(1, 2, ""), (2, 4, "")]),
        ("> Step 4 ----> Step 1", [(1, 4, "")]),
        ("1. \u2705 Step 4 \u2192 [Step 2](#step-2) (why)", [(2, 4, "why")]),
        ("Step 4 \u2192 none", []),
        ("Requests \u2192 gateway, in every step", []),
    ],
)
def test_every_step_of_a_line_of_the_section_is_an_edge(line: str, expected: list[tuple[int, int, str]]) -> None:
    text = steps("", NO, NO, NO) + SECTION + line + "\n"
    assert [(edge.source, edge.target, edge.reason) for edge in only(text).edges] == expected


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("Step 3 -> Step 2 and the gateway", 22, "the gateway"),
        ("Step 3 -> Step 2, 1a", 19, "1a"),
        ("Step 3 -> Step 2.5", 11, "Step 2.5"),
        ("Step 3 -> everything", 11, "everything"),
        ("Step 3 (and -> Step 2", 8, "(and -> Step 2"),
        ("Step 3 -> Step 2 (and Step 1)", 18, "(and Step 1)"),
        ("- Everything before Step 3 -> Step 1", 3, "Everything before Step 3 -> Step 1"),
    ],
)
def test_a_line_of_the_section_that_is_partly_understood_is_an_error_where_the_reading_stops(
    line: str, column: int, words: str
) -> None:
    text = steps("", NO, NO) + SECTION + line + "\n"
    hint = "write `Step 4 \u2192 Step 2 (reason)`, `Step 4 \u2192 Steps 1-3 (reason)`, or leave out the arrow"
    message = f"`{words}` is not understood in this line of the dependency section"
    assert said(text) == [f"SF205 error 14:{column} {message} | {hint}"]


def test_what_is_not_understood_in_a_field_is_an_error_at_its_place() -> None:
    text = steps("", NO, "- RelyPreviousStep:\n  Step 1,\n  Step 2 and a bit")
    message = "`a bit` is not understood in `RelyPreviousStep: Step 1, Step 2 and a bit`"
    hint = "write `yes`, `no`, or the steps: `Step 2, Step 5 - why`"
    assert said(text) == [f"SF111 error 14:14 {message} | {hint}"]


@pytest.mark.parametrize(
    ("value", "hint"), [("1, 2", "did you mean `Steps 1, 2`?"), ("1-2", "did you mean `Steps 1-2`?")]
)
def test_bare_numbers_are_asked_whether_they_are_steps(value: str, hint: str) -> None:
    (problem,) = parse(steps("", NO, f"- RelyPreviousStep: {value}"), "w.md")[1]
    assert (problem.code, problem.hint) == ("SF111", hint)


def test_a_range_means_the_steps_that_there_are_and_its_ends_must_exist() -> None:
    text = "## Step 1\n- Prompt: p\n## Step 5\n- Prompt: p\n## Step 9\n- Prompt: p\n- RelyPreviousStep: Steps {}\n"
    assert pairs(only(text.format("1-5"))) == [(1, 5), (1, 9), (5, 9)]
    assert "".join(each for each in said(text.format("2-5")) if "SF108" not in each) == (
        "SF202 error 7:21 step 9 relies on step 2, but there is no step 2"
        " | did you mean `Step 1`? the steps are 1, 5, 9"
    )


def test_many_steps_that_there_are_not_are_counted() -> None:
    text = steps("", "- RelyPreviousStep: Steps 1, 11, 12, 13, 14 and 15")
    assert [each.partition(" | ")[0] for each in said(text)] == [
        *(f"SF202 error 8:21 step 2 relies on step {n}, but there is no step {n}" for n in (11, 12, 13)),
        "SF202 error 8:21 step 2 relies on 2 more steps that do not exist",
    ]


@pytest.mark.parametrize("how", ["section", "fields"])
def test_ranges_that_make_too_many_edges_are_refused(how: str) -> None:
    if how == "section":
        text = (
            "".join(f"## Step {n}\n- Prompt: p\n" for n in range(1, 641)) + SECTION + "- Steps 1-320 -> Steps 321-640\n"
        )
    else:
        text = "".join(f"## Step {n}\n- Prompt: p\n- RelyPreviousStep: Steps 1-{n - 1}\n" for n in range(2, 460))
        text = f"## Step 1\n- Prompt: p\n{text}"
    place = "1282:3" if how == "section" else "1346:21"
    message = "with this line, ranges and lists of steps make more than 100,000 edges"
    hint = "let a step in between rely on all of them, and the others on that one"
    assert [each for each in said(text) if "SF208" in each] == [f"SF208 error {place} {message} | {hint}"]


def test_a_long_cycle_is_shown_in_part() -> None:
    text = steps(*(f"- RelyPreviousStep: Step {n % 40 + 1}" for n in range(1, 41)))
    (problem,) = parse(text, "w.md")[1]
    ring = [*range(1, 41), 1] if "1 \u2192 2" in problem.message else [1, *range(40, 0, -1)]
    shown = [*map(str, ring[:12]), "28 more", "1"]
    assert problem.message == "dependency cycle: " + " \u2192 ".join(shown)


@pytest.mark.parametrize(
    ("field", "severity"),
    [
        ("yes - see Step 2", "error"),
        ("yes (Step 2 makes it)", "error"),
        ("Step 3 - and what Step 2 made", "warning"),
        ("yes - see Step 3", ""),
        ("yes - see Step 1", ""),
        ("yes - before Step 9 needs it", ""),
        ("no - unlike Step 2", ""),
    ],
)
def test_a_reason_that_mentions_a_step_that_is_not_relied_on_is_reported(field: str, severity: str) -> None:
    message = "the reason mentions step 2, but step 4 does not rely on it"
    hint = "if it does, name it: `Step 2 - why`; if not, leave its number out of the reason"
    text = steps("", NO, "", f"- RelyPreviousStep: {field}")
    assert said(text) == ([f"SF209 {severity} 16:21 {message} | {hint}"] if severity else [])


def test_a_section_that_calls_all_steps_independent_while_the_flags_do_not_is_a_warning() -> None:
    text = steps("", "- RelyPreviousStep: yes", "") + SECTION + "\nAll 3 steps are independent.\n"
    message = "step 2 (line 8) and step 3 (line 9) rely on others"
    says = "but this line of the dependency section calls every step independent"
    hint = "make both say the same: `- RelyPreviousStep: no`"
    assert said(text) == [f"SF206 warning 15:1 {message}, {says} | {hint}"]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("**Independent Steps:**\n- Step 1: a\n- Step 3: b (parallel)\n", "16:3 step 3 (line 9) relies on step 2"),
        ("- Step 3 is independent\n", "14:3 step 3 (line 9) relies on step 2"),
        ("Steps 1-3 have no dependencies\n", "14:1 step 2 (line 5) and step 3 (line 9) rely on others"),
        ("**Independent Steps:**\n- Step 1: a\n\n**Dependent Steps:**\n- Step 3: b\n", ""),
        ("- Step 3 is not independent\n- Steps 2 and 3 are independent of each other\n", ""),
        ("Not all steps are independent\n", ""),
        ("All steps but step 2 are independent\n", ""),
    ],
)
def test_a_step_that_the_section_calls_independent_and_that_relies_on_another_is_a_warning(
    section: str, expected: str
) -> None:
    many = "them" if " and " in expected else "it"
    hint = "make both say the same: `- RelyPreviousStep: no`"
    text = f"SF206 warning {expected}, but this line of the dependency section calls {many} independent | {hint}"
    assert said(steps("", "", "") + SECTION + section) == ([text] if expected else [])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("- Step 3 needs Step 1", True),
        ("| Step 3 | Step 1 |", True),
        ("- Step 3 depends on Step 2", False),
        ("- Step 3 does not need Step 1", False),
    ],
)
def test_a_sentence_of_the_section_that_would_be_another_edge_is_a_warning(line: str, expected: bool) -> None:  # noqa: FBT001
    hint = "write `- Step 3 \u2192 Step 1 (reason)` if it is one"
    text = f"SF210 warning 14:3 this line of the dependency section has no arrow, so it makes no edge | {hint}"
    assert said(steps("", "", "") + SECTION + line + "\n") == ([text] if expected else [])
