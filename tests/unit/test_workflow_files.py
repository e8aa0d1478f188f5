"""Several workflows in a file or a directory: a broken one stops only itself, and none takes the place of another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stepflow.cli import main
from stepflow.errors import UsageError
from stepflow.workflow import load, parse

GOOD = "# Good\n## Step 1\n- Playbook: shell\n- Prompt: echo good > good\n"
BAD = "# Bad\n## Step 1\n- Playbook: shel\n- Handoff: h\n## Step 2\n- Playbook: shell\n- RelyPreviousStep: Step 9\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def step(title: str, word: str) -> str:
    return f"# {title}\n\n## Step 1: Say {word}\n- Playbook: shell\n- Prompt: echo {word} >> said\n"


@pytest.mark.parametrize("text", [GOOD + BAD, BAD + GOOD], ids=["first", "last"])
def test_a_broken_workflow_does_not_stop_its_neighbour(
    here: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (here / "w.md").write_text(text)
    assert main(["check", "w.md#good"]) == 0
    assert capsys.readouterr().out.endswith("w.md#good: 1 step; 1 remark\n")
    assert main(["run", "w.md#good"]) == 0
    assert (here / "good").read_text() == "good\n"
    capsys.readouterr()
    assert main(["run", "w.md#bad"]) == 2
    assert capsys.readouterr().err.endswith("error: 3 errors in the document\n")
    assert main(["check", "w.md#bad", "--json"]) == 2
    bad = [row["code"] for row in json.loads(capsys.readouterr().out)["diagnostics"]]
    assert sorted(bad) == ["SF105", "SF105", "SF202", "SF301"]
    assert main(["check", "w.md", "--json"]) == 2
    every = [row["code"] for row in json.loads(capsys.readouterr().out)["diagnostics"]]
    assert sorted(every) == sorted([*bad, "SF307"])
    assert main(["run", "w.md"]) == 2
    assert capsys.readouterr().err.startswith("error: `w.md` holds 2 workflows\n")


def test_counts_and_handoffs_are_checked_beside_a_broken_workflow(here: Path) -> None:
    counted = "# Good\n\n**Dependencies**: 1 dependent steps\n\n## Step 1\n- Playbook: shell\n- Prompt: p\n"
    (here / "w.md").write_text(f"{BAD}{counted}")
    assert "SF207" in [problem.code for problem in parse((here / "w.md").read_text(), "w.md")[1]]


def test_each_of_two_workflows_under_one_heading_has_its_own_lines() -> None:
    steps = "## Step 1\n- Prompt: p\n## Step 2\n- Prompt: p\n"
    text = "# T\n" + "".join(
        f"```\n{steps}## Dependency Chain Analysis\n- Step 2 -> Step {step}\n```\n" for step in (1, 9)
    )
    workflows, problems = parse(text, "w.md")
    assert [(each.name, each.span.line, len(each.edges)) for each in workflows] == [("t", 1, 1), ("t-2", 11, 0)]
    assert [problem.span.line for problem in problems if problem.code == "SF202"] == [16]


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("\u041f\u0440\u0438\u0432\u0435\u0442", "\u90e8\u7f72", ["privet", "bushu"]),
        ("\U0001f389", "\U0001f35e\U0001f956", ["tada", "bread-french-bread"]),
        ("\u2665", "\u2603", ["hearts", "snowman2"]),
        ("Caf\u00e9", "Cafe", ["cafe", "cafe-2"]),
        ("\u2192", "\u2026", ["plan", "plan-2"]),
        ("W" * 60, "W" * 50 + "x", ["w" * 48, f"{'w' * 46}-2"]),
    ],
)
def test_titles_of_any_script_give_names_of_their_own(first: str, second: str, names: list[str]) -> None:
    text = f"# {first}\n## Step 1\n- Prompt: p\n# {second}\n## Step 1\n- Prompt: q\n"
    Path("plan.md").write_text(text, encoding="utf-8")
    assert [workflow.name for workflow in parse(text, "plan.md")[0]] == names
    assert [load(f"plan.md#{title}").steps[0].prompt for title in (first, second)] == ["p", "q"]
    assert [load(f"plan.md#{name}").steps[0].prompt for name in names] == ["p", "q"]


def test_a_heading_that_nothing_is_left_of_is_not_taken_for_a_workflow_called_workflow() -> None:
    Path("w.md").write_text(f"{GOOD.replace('Good', 'Workflow')}{GOOD}")
    with pytest.raises(UsageError, match=r"`w\.md` holds no workflow `\u2192`"):
        load("w.md#\u2192")


@pytest.mark.parametrize(("first", "second"), [("\u2192", "\u2026"), ("Caf\u00e9", "Cafe"), ("\U0001f389", "Tada")])
def test_the_second_document_of_a_name_asks_before_it_replaces_the_first(
    here: Path, capsys: pytest.CaptureFixture[str], first: str, second: str
) -> None:
    (here / "a").mkdir()
    Path("w.md").write_text(step(first, "one"), encoding="utf-8")
    Path("a/w.md").write_text(step(second, "two"), encoding="utf-8")
    assert main(["run", "w.md"]) == 0
    capsys.readouterr()
    assert main(["run", "a/w.md"]) == 2
    said = capsys.readouterr().err
    assert "was made from `w.md`, and `a/w.md` has the same name\nhint: `--name " in said
    assert Path("said").read_text() == "one\n"


def test_workflows_of_one_file_whose_titles_spell_alike_are_platforms_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("w.md").write_text(step("Caf\u00e9", "one") + step("Cafe", "two"), encoding="utf-8")
    assert main(["run", "w.md#Caf\u00e9"]) == 0
    assert main(["run", "w.md#Cafe"]) == 0
    assert main(["run", "w.md#Caf\u00e9"]) == 0
    assert sorted(path.name for path in Path(".stepflow").iterdir()) == ["cafe", "cafe-2"]
    assert Path("said").read_text() == "one\ntwo\n"
    capsys.readouterr()


def test_a_workflow_that_takes_the_name_of_its_neighbour_asks_before_it_replaces_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("w.md").write_text(step("Caf\u00e9", "one"), encoding="utf-8")
    assert main(["run", "w.md"]) == 0
    Path("w.md").write_text(step("Cafe", "two") + step("Caf\u00e9", "one"), encoding="utf-8")
    capsys.readouterr()
    assert main(["run", "w.md#Cafe"]) == 2
    assert capsys.readouterr().err == (
        "error: `cafe` has none of the steps of `w.md#Cafe`, which has the same name\n"
        "hint: `--name cafe` changes that platform into this one, `--name w` makes another one beside it\n"
    )
    assert Path("said").read_text() == "one\n"
