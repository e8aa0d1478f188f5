"""The record keeps the last runs, and whatever a plan, a report or a log refers to."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stepflow.cli import main
from stepflow.engine import attempts_of, logs_of, past, prune, runs, to_prune
from stepflow.engine.retention import Pruning
from stepflow.journal import Attempt, Journal, Result
from stepflow.large import LIMIT

if TYPE_CHECKING:
    from tests.unit.conftest import Lab

DAY = 86400.0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path


def ran(journal: Journal, state: Path, *steps: int, asked: dict[int, int] | None = None, ago: float = 0.0) -> int:
    """Record a run that did these steps, each with a log and a large value of its own."""
    described = {"document": "w.md", "target": "local", "out": "out", "pid": 7, "taken": ago * DAY}
    run = journal.begin_run(**described, asked=asked or {})  # type: ignore[arg-type]
    (state / f"logs/run{run}.log").touch()
    for step in steps:
        log = state / f"logs/{step:02}-s-run{run}.log"
        log.write_text(f"{run}\n")
        attempt = Attempt(step, "S", "shell", "f", workloads=(f"w{run}",), log=str(log), files={f"{step}": f"{run}"})
        values = {"big": f"{run} {step} {'x' * LIMIT}"}
        number = journal.begin_step(run, attempt)
        journal.end_step(number, Result("done", {"values": values}, values, files={f"{step}": f"{run}"}))
    journal.end_run(run, "succeeded", [], dict.fromkeys(steps, "done"), seconds=1.0)
    return run


def left(journal: Journal) -> list[int]:
    return [run.number for run in reversed(runs(journal))]


def test_last_runs_stay_and_those_that_have_the_last_attempt_at_a_step(state: Path) -> None:
    with Journal(state / "journal.db") as journal:
        ran(journal, state, 1, 2)
        for _ in range(4):
            ran(journal, state, 2)
        before = past(journal, state)
        found = to_prune(journal, state, keep=2)
        assert (found.runs, found.thinned) == ((2, 3), (1,))
        prune(journal, found)
        assert left(journal) == [1, 4, 5]
        assert [each["step"] for each in attempts_of(journal, 1)] == [1]
        assert past(journal, state) == before
        assert [run for run, _ in logs_of(journal, 2)] == [5, 4]
        assert not to_prune(journal, state, keep=2)
    assert {each.name for each in (state / "logs").iterdir()} == {
        "run1.log", "01-s-run1.log", "run4.log", "02-s-run4.log", "run5.log", "02-s-run5.log",
    }  # fmt: skip
    assert len(list((state / "values").iterdir())) == 2


def test_last_run_stays_whatever_is_asked_for(state: Path) -> None:
    with Journal(state / "journal.db") as journal:
        ran(journal, state)
        ran(journal, state)
        prune(journal, to_prune(journal, state, keep=0))
        assert left(journal) == [2]


def test_only_runs_that_began_before_are_removed(state: Path) -> None:
    with Journal(state / "journal.db") as journal:
        for ago in (9, 8, 2, 1, 0):
            ran(journal, state, ago=ago)
        assert to_prune(journal, state, keep=1, days=5).runs == (1, 2)
        assert to_prune(journal, state, keep=4, days=5).runs == (1,)
        assert to_prune(journal, state, keep=1).runs == (1, 2, 3, 4)


def test_runs_that_a_report_or_an_unfulfilled_wish_refers_to_stay(state: Path) -> None:
    with Journal(state / "journal.db") as journal:
        for _ in range(4):
            ran(journal, state)
        last = ran(journal, state, asked={3: 2})
        outcome = {"text": "t", "verdict": "verified", "evidence": ["e"], "run": 1}
        journal.end_run(last, "succeeded", [outcome], {}, seconds=1)
        prune(journal, to_prune(journal, state, keep=1))
        assert left(journal) == [1, 2, 5]


def test_what_was_made_and_the_steps_that_are_gone_are_known_when_their_runs_are_removed(state: Path) -> None:
    with Journal(state / "journal.db") as journal:
        for _ in range(3):
            ran(journal, state, 1)
        prune(journal, to_prune(journal, state, keep=1))
        assert left(journal) == [3]
        assert past(journal, state).workloads == {"w1", "w2", "w3"}


def test_value_that_only_an_earlier_attempt_refers_to_is_removed_though_its_run_stays(state: Path) -> None:
    with Journal(state / "journal.db") as journal:
        ran(journal, state, 1)
        assert not to_prune(journal, state)
        ran(journal, state, 1)
        (state / "values/.half").write_bytes(b"x")  # of a process that was killed
        found = to_prune(journal, state)
        assert (found.runs, found.superseded, len(found.files)) == ((), True, 2)
        assert found.size == LIMIT + 6 + 1
        prune(journal, found)
        assert len(list((state / "values").iterdir())) == 1
        assert past(journal, state).last[1].written == {"big": f"2 1 {'x' * LIMIT}"}
        assert not to_prune(journal, state)


def test_log_of_a_workload_and_files_of_others_stay(state: Path) -> None:
    with Journal(state / "journal.db") as journal:
        ran(journal, state, 1)
        journal.begin_step(1, Attempt(2, "S", "shell", "f", workloads=("run1",)))
        for _ in range(2):
            ran(journal, state, 1, 2)
        for name in ("01-s-run2.log.1", "01-s-run3.log.1"):  # what was in a log before
            (state / "logs" / name).touch()
        for name in ("orders.log", "supervisor.log", "run-2.log", "notes.txt", "01-run2.log.gz"):
            (state / "logs" / name).touch()
        prune(journal, to_prune(journal, state, keep=1))
    assert {each.name for each in (state / "logs").iterdir()} == {
        "orders.log", "supervisor.log", "run-2.log", "notes.txt", "01-run2.log.gz", "run1.log", "run3.log",
        "01-s-run3.log", "01-s-run3.log.1", "02-s-run3.log",
    }  # fmt: skip


def test_logs_that_a_killed_pruning_left_are_removed_by_the_next(state: Path) -> None:
    with Journal(state / "journal.db") as journal:
        for _ in range(3):
            ran(journal, state, 1)
        journal.prune(to_prune(journal, state, keep=2).runs, ())
        assert (state / "logs/01-s-run1.log").exists()
        prune(journal, to_prune(journal, state, keep=1))
    assert {each.name for each in (state / "logs").iterdir()} == {"run3.log", "01-s-run3.log"}


def test_file_becomes_smaller_when_much_is_removed(state: Path) -> None:
    with Journal(state / "journal.db") as journal:
        for run in range(40):
            number = journal.begin_step(
                journal.begin_run(document="w.md", target="local", out="out", pid=7),
                Attempt(1, "S", "shell", "f", {f"field:{key}": "x" * 60000 for key in range(2)}),
            )
            journal.end_step(number, Result("done", {"run": run}))
        prune(journal, to_prune(journal, state, keep=1))
    assert (state / "journal.db").stat().st_size < 400_000


async def test_plan_is_the_same_before_and_after(lab: Lab) -> None:
    lab.target.describe = lambda _: {"compose.yaml": b"x"}
    state = lab.folder / "state"
    await lab.run(lab.document("a", "b<1", "gone"))
    lab.target.lose("a")
    lab.target.fail("a")
    await lab.run(lab.document("a", "b<1"))
    for _ in range(3):
        lab.target.lose("b")
        await lab.run(lab.document("a", "b<1"))
    documents = [lab.document("a", "b<1"), lab.document("a", "b<1", "gone"), lab.document("b", b="- Replicas: 2")]
    with Journal(state / "journal.db") as journal:
        before = [str((await lab.look(each, journal)).plan) for each in documents]
        found = to_prune(journal, state, keep=1)
        assert found.runs == (2, 4)
        prune(journal, found)
        assert [str((await lab.look(each, journal)).plan) for each in documents] == before


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("w.md").write_text("# Shop\n\n## Step 1: Go\n- Playbook: shell\n- Prompt: echo hi\n", encoding="utf-8")
    assert main(["run", "w.md"]) == 0
    for _ in range(4):
        assert main(["resume", "--from", "1"]) == 0
    capsys.readouterr()
    return tmp_path / ".stepflow/shop"


def listed(capsys: pytest.CaptureFixture[str]) -> list[int]:
    assert main(["runs", "--json"]) == 0
    return [run["run"] for run in json.loads(capsys.readouterr().out)["runs"]]


def test_runs_are_pruned_by_command_which_says_what_goes(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Journal(shop / "journal.db") as journal:
        journal._write(("UPDATE runs SET started = ? WHERE id = 2", (time.time() - 9 * DAY,)))
    for command, said, there in (
        (("--keep", "9"), "nothing of the record of `shop` can be removed\n", [5, 4, 3, 2, 1]),
        (("--older-than", "8", "--dry-run"), "would remove run 2 and 1 file (0.0 MB)\n", [5, 4, 3, 2, 1]),
        (("--older-than", "8"), "removed run 2 and 1 file (0.0 MB)\n", [5, 4, 3, 1]),
        (("--keep", "1", "--dry-run"), "would remove runs 1, 3-4 and 3 files (0.0 MB)\n", [5, 4, 3, 1]),
        (("--keep", "2"), "removed runs 1, 3 and 2 files (0.0 MB)\n", [5, 4]),
        ((), "nothing of the record of `shop` can be removed\n", [5, 4]),
    ):
        assert main(["runs", "prune", *command]) == 0
        assert (capsys.readouterr().out, listed(capsys)) == (said, there)
    assert {each.name for each in (shop / "logs").iterdir()} == {"01-go-run4.log", "01-go-run5.log"}
    assert main(["resume", "--plan"]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_run_keeps_the_last_runs_by_itself(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_prune, "__kwdefaults__", {**to_prune.__kwdefaults__, "keep": 3})
    assert main(["run", "w.md"]) == 0
    capsys.readouterr()
    assert listed(capsys) == [6, 5, 4]
    assert sorted(each.name for each in (shop / "logs").iterdir()) == ["01-go-run4.log", "01-go-run5.log"]


def test_pruning_is_refused_while_the_platform_is_worked_on(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from stepflow.engine import held  # noqa: PLC0415 - of this test alone

    with held(shop):
        assert main(["runs", "prune", "--keep", "1"]) == 2
        assert "`shop` is being worked on by process " in capsys.readouterr().err
        assert main(["runs", "prune", "--keep", "1", "--dry-run"]) == 0


def test_nothing_to_remove_is_false() -> None:
    assert not Pruning(thinned=(1,))
    assert Pruning(runs=(1,))
