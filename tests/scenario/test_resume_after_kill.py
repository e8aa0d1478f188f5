"""A run that is killed right before or after any write of its journal: `resume` ends it as if nothing had been."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from waiting import eventually

KILLER = Path(__file__).with_name("killed_run.py")
STEPFLOW = Path(sys.executable).with_name("stepflow")
WRITES = 29
"""How often the run below writes its journal: once at its begin and end, four times for each of four steps."""

DOCUMENT = """\
# Diamond

## Step 1: Source
- Playbook: shell
- Prompt: printf '{"seed": 7}' > "$STEPFLOW_HANDOFF"; echo x >> count-1

## Step 2: Left
- Playbook: shell
- RelyPreviousStep: Step 1
- Prompt: grep -o '"seed": 7' "$STEPFLOW_HANDOFFS" > left; echo x >> count-2

## Step 3: Right
- Playbook: shell
- RelyPreviousStep: Step 1
- Prompt: echo right > right; echo x >> count-3

## Step 4: Join
- Playbook: shell
- RelyPreviousStep: Steps 2 and 3
- Prompt: cat left right > joined; echo x >> count-4
"""


def stepflow(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([STEPFLOW, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def killed(cwd: Path, when: str, at: int, *arguments: str) -> int:
    (cwd / "workflow.md").write_text(DOCUMENT, encoding="utf-8")
    command = [sys.executable, str(KILLER), when, str(at), *(arguments or ("run", "workflow.md"))]
    return subprocess.run(command, cwd=cwd, capture_output=True, timeout=120, check=False).returncode


def processes_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == folder:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            continue
    return found


def cut_off_in_the_middle(cwd: Path) -> set[int]:
    """Name the steps whose command had begun, and may or may not have finished."""
    state = cwd / ".stepflow/diamond"
    with sqlite3.connect(state / "journal.db") as db:
        rows = db.execute("SELECT step FROM attempts WHERE outcome IS NULL").fetchall()
    db.close()
    ended = {int(path.name.split("-")[0]) for path in state.glob("jobs/*.0.code")}
    return {step for (step,) in rows} - ended


def effects(cwd: Path) -> dict[int, int]:
    counted = {number: cwd / f"count-{number}" for number in range(1, 5)}
    return {number: len(path.read_text().split()) if path.exists() else 0 for number, path in counted.items()}


def test_uninterrupted_run_writes_its_journal_as_often_as_the_cases_below_count(tmp_path: Path) -> None:
    assert killed(tmp_path, "never", 0) == 0
    assert int((tmp_path / "writes").read_text()) == WRITES
    assert (tmp_path / "joined").read_text() == '"seed": 7\nright\n'


@pytest.mark.parametrize("at", range(1, WRITES + 1))
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_run_is_resumed_to_the_same_end_and_nothing_finished_is_done_twice(
    tmp_path: Path, when: str, at: int
) -> None:
    assert killed(tmp_path, when, at) == -signal.SIGKILL
    assert eventually(lambda: not processes_in(tmp_path)), f"left behind: {processes_in(tmp_path)}"
    unknown = cut_off_in_the_middle(tmp_path)

    command = ("run", "workflow.md") if (when, at) == ("before", 1) else ("resume",)
    done = stepflow(tmp_path, *command, "--json")

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "succeeded"
    assert (tmp_path / "joined").read_text() == '"seed": 7\nright\n'
    assert {number: count for number, count in effects(tmp_path).items() if count != 1 and number not in unknown} == {}
    assert all(count in {1, 2} for count in effects(tmp_path).values())
    before = effects(tmp_path)
    again = json.loads(stepflow(tmp_path, "resume", "--json").stdout.splitlines()[-1])
    assert (again["status"], effects(tmp_path)) == ("succeeded", before)


@pytest.mark.parametrize("again", [("resume",), ("run", "workflow.md")], ids=" ".join)
def test_resume_from_a_step_that_was_killed_is_taken_up_as_its_plan_says(
    tmp_path: Path, again: tuple[str, ...]
) -> None:
    assert killed(tmp_path, "never", 0) == 0
    assert killed(tmp_path, "before", 10, "resume", "--from", "2") == -signal.SIGKILL  # step 2 is done, 4 has not begun
    assert effects(tmp_path) == {1: 1, 2: 2, 3: 1, 4: 1}

    planned = stepflow(tmp_path, "resume", "--plan").stdout
    done = stepflow(tmp_path, *again, "--json")

    owed = "  4 Join                                       rerun\n      asked for in run 2, which did not finish it\n"
    assert owed in planned
    assert json.loads(done.stdout.splitlines()[0])["plan"] == planned
    assert effects(tmp_path) == {1: 1, 2: 2, 3: 1, 4: 2}
    assert "nothing to do" in stepflow(tmp_path, "resume", "--plan").stdout
