"""`stepflow check` says once what commands read and write without a field that says so."""

from __future__ import annotations

import pytest

from stepflow.registry import resolve
from stepflow.registry.undeclared import undeclared, unknown_values
from stepflow.workflow import parse


def document(*steps: str) -> str:
    """Write steps as `prompt | Field: value`."""
    lines = ["# Chain", ""]
    for number, text in enumerate(steps, 1):
        prompt, *fields = text.split(" | ")
        lines += [f"## Step {number}: Part {number}", "- Playbook: shell", f"- Prompt: {prompt}"]
        lines += [*(f"- {field}" for field in fields), ""]
    return "\n".join(lines)


def said(*steps: str, strict: bool = False) -> list[tuple[str, str, str, str]]:
    (workflow,), problems = parse(document(*steps), "w.md")
    assert [each for each in problems if each.severity == "error"] == []
    found = (*undeclared(resolve(workflow), strict=strict), *unknown_values(resolve(workflow)))
    return [(each.code, each.severity, each.message, each.hint) for each in found]


AGAIN = "what relies on them runs again only when a value that they hand off changes"


def test_steps_that_do_not_say_what_they_make_are_named_in_one_sentence() -> None:
    assert said("true", "true", "true") == [
        (
            "SF309",
            "info",
            f"steps 1 and 2 do not say what they make: {AGAIN}",
            "name it: `- Creates: PATH`, `- Gives: NAME`, or `- Creates: none`",
        )
    ]


@pytest.mark.parametrize("field", ["Creates: a", "Gives: version", "Creates: none"])
def test_step_that_says_what_it_makes_is_not_named(field: str) -> None:
    assert said(f"true | {field}", "true") == []


def test_variables_that_come_from_outside_are_named_once_and_refused_when_strict() -> None:
    prompt = "for name in a b; do read -r x y; z=$name; echo $x$y$z ${REGION:-eu} $1 $? $HOME $STEPFLOW_HANDOFF; done"
    expected = "step 1 reads `$REGION`, and no field names it: nothing runs again when it has another value"
    hint = "name each where it is read: `- Env: REGION`, or `- Secrets: REGION`"
    assert said(prompt) == [("SF310", "info", expected, hint)]
    assert said(prompt, strict=True) == [("SF310", "error", expected, hint)]
    assert said(f"{prompt} | Env: REGION") == []
    assert said(f"{prompt} | Secrets: REGION") == []


@pytest.mark.parametrize(
    "prompt", ["awk '{print $NF}' a", r"echo \$REGION", "export A=1; echo $A", "declare -a LIST; echo ${#LIST[@]}"]
)
def test_variable_that_the_command_sets_or_quotes_is_its_own(prompt: str) -> None:
    assert said(prompt) == []


TAKES = """jq -r '.["1"].values.{}' "$STEPFLOW_HANDOFFS" """


def test_value_that_no_step_gives_is_an_error_with_what_was_meant() -> None:
    assert said("true | Gives: version, image", TAKES.replace("{}", "versoin")) == [
        (
            "SF311",
            "error",
            "step 2 takes the value `versoin`, which step 1 does not give",
            "did you mean `version`?",
        )
    ]
    assert said("true | Gives: version", "true | Gives: image | RelyPreviousStep: no",
                TAKES.replace("{}", "x") + " | RelyPreviousStep: Step 1, Step 2")[0][2:] == (
        "step 3 takes the value `x`, which steps 1 and 2 do not give",
        "steps 1 and 2 give `image` and `version`",
    )  # fmt: skip


@pytest.mark.parametrize("taken", ["version", "token"])
def test_value_that_is_given_is_fine(taken: str) -> None:
    assert said("true | Gives: version, token (secret)", TAKES.replace("{}", taken)) == []


def test_value_of_a_step_that_does_not_say_what_it_gives_may_be_anything() -> None:
    assert [code for code, *_ in said("true", TAKES.replace("{}", "x"))] == ["SF309"]
    assert said("true | Creates: a | Gives: b", "python -c 'for x in taken.values.items(): ...'") == []
