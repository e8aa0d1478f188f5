"""What relies on what: named steps, the dependency section, the main chain."""

from __future__ import annotations

import pytest

from stepflow.workflow import Workflow, parse
from stepflow.workflow.edges import Relies, read_relies


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
        ("Step 2", Relies(None, named=((2, ""),))),
        ("Step 2, Step 5", Relies(None, named=((2, ""), (5, "")))),
        ("Steps 2 and 5", Relies(None, named=((2, ""), (5, "")))),
        ("Steps 2, 3, and 5 - all", Relies(None, named=((2, "all"), (3, "all"), (5, "all")))),
        ("Step 2 - needs a, b and c, Step 5 - too", Relies(None, named=((2, "needs a, b and c"), (5, "too")))),
        ("Step 2 (why), Step 3", Relies(None, named=((2, "why"), (3, "")))),
        ("- Step 2\n- Step 3 \u2014 why", Relies(None, named=((2, ""), (3, "why")))),
        ("perhaps", None),
        ("Step 2-4", None),
        ("Step", None),
    ],
)
def test_rely_previous_step_is_read(value: str, relies: Relies | None) -> None:
    assert read_relies(value) == relies


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
