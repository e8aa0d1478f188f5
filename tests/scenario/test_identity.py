"""A step is itself: whatever is done to a document, no command that was run is run again unless it changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

STEPFLOW = Path(sys.executable).with_name("stepflow")
RECORDED = Path(__file__).parents[1] / "data/recorded/commands"
Done = subprocess.CompletedProcess[str]


def stepflow(cwd: Path, *arguments: str, code: int = 0) -> Done:
    done = subprocess.run([STEPFLOW, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def write(cwd: Path, *steps: str, title: str = "Release", file: str = "w.md", relies: str = "") -> None:
    """Write a chain of commands as `title=effect`: each writes its effect behind those of the others.

    `=effect` has no title, `title=effect#id` has an id.
    """
    lines = [f"# {title}", ""]
    for number, text in enumerate(steps, 1):
        rest, _, own = text.partition("#")
        name, _, effect = rest.partition("=")
        lines += [f"## Step {number}: {name}".rstrip(": "), "- Playbook: shell", f"- Prompt: echo {effect} >> effects"]
        lines += [f"- RelyPreviousStep: {relies}"] if relies else []
        lines += [f"- Id: {own}", ""] if own else [""]
    (cwd / file).write_text("\n".join(lines), encoding="utf-8")


def effects(cwd: Path) -> list[str]:
    """The commands that were run since the last call, in order."""
    file = cwd / "effects"
    done = file.read_text().split() if file.exists() else []
    file.unlink(missing_ok=True)
    return done


def reasons(done: Done) -> dict[int, list[str]]:
    """Why each step was done or reused."""
    events: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    return {each["step"]: each["reasons"] for each in events if each["event"] == "step_finished"}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory where `a`, `b`, `c` were run."""
    write(tmp_path, "A=a", "B=b", "C=c")
    stepflow(tmp_path, "run", "w.md")
    assert effects(tmp_path) == ["a", "b", "c"]
    return tmp_path


@pytest.mark.parametrize(
    ("steps", "run"),
    [
        (("N=n", "A=a", "B=b", "C=c"), ["n"]),
        (("A=a", "N=n", "B=b", "C=c"), ["n"]),
        (("A=a", "B=b", "C=c", "N=n"), ["n"]),
        (("A=a", "C=c"), []),
        (("B=b", "C=c"), []),
        (("C=c", "B=b", "A=a"), []),
        (("A=a", "Bee=b", "C=c"), []),
        (("A=a", "B=b2", "C=c"), ["b2"]),
        (("C=c", "N=n", "Ay=a"), ["n"]),
        (("A=a#first", "B=b", "C=c"), []),
    ],
    ids=["top", "middle", "end", "remove", "remove the top", "swap", "rename", "change", "all at once", "id"],
)
def test_only_what_is_new_or_changed_is_run(here: Path, steps: tuple[str, ...], run: list[str]) -> None:
    write(here, *steps)
    stepflow(here, "run", "w.md")
    assert effects(here) == run
    assert "nothing to do" in stepflow(here, "plan", "w.md").stdout


@pytest.mark.parametrize(("back", "run"), [("B=b", []), ("B=b2", ["b2"]), ("Bee=b", ["b"]), ("B=b#own", ["b"])])
def test_step_that_was_removed_comes_back_as_what_it_was(here: Path, back: str, run: list[str]) -> None:
    write(here, "A=a", "C=c")
    stepflow(here, "run", "w.md")
    write(here, "A=a", "C=c", back)
    stepflow(here, "run", "w.md")
    assert effects(here) == run


def test_plan_says_where_a_step_was_and_what_it_was_called_and_the_next_one_does_not(here: Path) -> None:
    write(here, "N=n", "A=a", "Bee=b", "C=c", relies="no")
    plan = stepflow(here, "plan", "w.md").stdout
    assert plan.splitlines()[2:13] == [
        "  1 N                                          run",
        "      first run",
        "  2 A                                          reuse",
        "      unchanged: reused",
        "      was step 1",
        "  3 Bee                                        reuse",
        "      unchanged: reused",
        "      was step 2, called `B`",
        "  4 C                                          reuse",
        "      unchanged: reused",
        "      was step 3",
    ]
    stepflow(here, "run", "w.md")
    assert "was step" not in stepflow(here, "plan", "w.md").stdout


def test_step_that_was_renamed_and_then_changed_says_what_changed(here: Path) -> None:
    write(here, "A=a", "Bee=b", "C=c")
    stepflow(here, "run", "w.md")
    write(here, "N=n", "A=a", "Bee=b2", "C=c")
    assert reasons(stepflow(here, "run", "w.md", "--json"))[3] == ["command changed", "was step 2"]
    assert effects(here) == ["n", "b2"]


def test_steps_without_titles_are_told_apart_by_their_commands(tmp_path: Path) -> None:
    write(tmp_path, "=a", "=b", "=c")
    stepflow(tmp_path, "run", "w.md")
    write(tmp_path, "=n", "=a", "=c", "=b")
    effects(tmp_path)
    stepflow(tmp_path, "run", "w.md")
    assert effects(tmp_path) == ["n"]


def test_steps_that_cannot_be_told_apart_are_run_and_an_id_tells_them_apart(tmp_path: Path) -> None:
    write(tmp_path, "=a", "=b")
    stepflow(tmp_path, "run", "w.md")
    write(tmp_path, "=a", "=a", "=b")
    effects(tmp_path)
    said = reasons(stepflow(tmp_path, "run", "w.md", "--json"))
    note = "cannot be told apart from what was step 1; an `- Id:` in each step tells them apart"
    assert said == {1: ["first run", note], 2: ["first run", note], 3: ["unchanged: reused", "was step 2"]}
    assert effects(tmp_path) == ["a", "a"]
    write(tmp_path, "=a#one", "=a#two", "=b")
    stepflow(tmp_path, "run", "w.md")
    write(tmp_path, "=a#new", "=a#two", "=a#one", "=b")
    stepflow(tmp_path, "run", "w.md")
    assert effects(tmp_path) == ["a"]


def test_part_of_a_document_that_becomes_a_platform_of_its_own_leaves_the_rest_alone(here: Path) -> None:
    write(here, "A=a")
    write(here, "B=b", "C=c", title="Rest", file="rest.md")
    stepflow(here, "run", "w.md")
    assert effects(here) == []
    stepflow(here, "run", "rest.md")
    assert effects(here) == ["b", "c"]


def test_command_that_finished_when_the_engine_died_is_not_run_again_where_it_moved(tmp_path: Path) -> None:
    """The engine is killed after the job has ended and before the journal has it."""
    write(tmp_path, "A=a", "B=b")
    slow = (
        (tmp_path / "w.md")
        .read_text()
        .replace("echo a >> effects", "echo a >> effects; touch ready; while test ! -f go; do sleep 0.02; done")
    )
    (tmp_path / "w.md").write_text(slow)
    with subprocess.Popen([STEPFLOW, "run", "w.md"], cwd=tmp_path, stdout=subprocess.DEVNULL) as run:
        deadline, pause = time.monotonic() + 60, threading.Event()
        while not (tmp_path / "ready").exists():
            assert time.monotonic() < deadline
            pause.wait(0.01)
        os.kill(run.pid, signal.SIGSTOP)
        (tmp_path / "go").touch()
        (guard,) = psutil.Process(run.pid).children()
        while guard.children():
            assert time.monotonic() < deadline
            pause.wait(0.01)
        run.kill()
    moved = slow.replace("## Step 2", "## Step 3").replace("## Step 1: A", "## Step 2: A")
    new = "## Step 1: N\n- Playbook: shell\n- Prompt: echo n >> effects\n\n"
    (tmp_path / "w.md").write_text(moved.replace("## Step 2: A", f"{new}## Step 2: A"))
    assert reasons(stepflow(tmp_path, "resume", "--json"))[2] == ["was interrupted in run 1", "was step 1"]
    assert sorted(effects(tmp_path)) == ["a", "b", "n"]


def test_command_is_not_run_again_when_it_relies_on_another_one_that_hands_nothing_off(tmp_path: Path) -> None:
    hands_off = 'echo b >> effects; echo "{\\"x\\": 1}" > $STEPFLOW_HANDOFF'
    write(tmp_path, "A=a", "B=b", "C=c")
    text = (tmp_path / "w.md").read_text().replace("echo b >> effects", hands_off)
    text = text.replace("Prompt: echo a", "RelyPreviousStep: no\n- Prompt: echo a")
    text = text.replace("Prompt: echo b", "RelyPreviousStep: no\n- Prompt: echo b")
    for relies in ("Step 2", "Step 1, Step 2", "Step 2"):
        (tmp_path / "w.md").write_text(text.replace("Prompt: echo c", f"RelyPreviousStep: {relies}\n- Prompt: echo c"))
        stepflow(tmp_path, "run", "w.md")
    assert sorted(effects(tmp_path)) == ["a", "b", "c"]


def test_another_timeout_or_number_of_tries_runs_nothing_again(here: Path) -> None:
    text = (here / "w.md").read_text()
    (here / "w.md").write_text(text.replace("- Prompt: echo b", "- Timeout: 9\n- Retries: 2\n- Prompt: echo b"))
    stepflow(here, "run", "w.md")
    assert effects(here) == []


def test_accepted_step_is_not_run_though_its_command_changed(here: Path) -> None:
    write(here, "A=a", "B=b2#build", "C=c")
    plan = stepflow(here, "run", "w.md", "--dry-run", "--accept-unchanged", "build").stdout
    assert "      accepted as unchanged: command changed\n" in plan
    assert stepflow(here, "plan", "w.md", "--accept-unchanged", "build").stdout == plan
    stepflow(here, "run", "w.md", "--accept-unchanged", "2")
    assert effects(here) == []
    assert "nothing to do" in stepflow(here, "plan", "w.md").stdout
    write(here, "A=a", "B=b3#build", "C=c4")
    stepflow(here, "resume", "--accept-unchanged", "build")
    assert effects(here) == ["c4"]


def test_step_is_done_again_by_its_id(here: Path) -> None:
    write(here, "A=a", "B=b#build", "C=c")
    assert (
        "  2 B                                          rerun\n      asked for\n"
        in stepflow(here, "resume", "--from", "build", "--plan").stdout
    )
    stepflow(here, "resume", "--from", "build")
    assert effects(here) == ["b", "c"]


def test_playbook_that_is_written_otherwise_is_the_same(here: Path) -> None:
    text = (here / "w.md").read_text().replace("- Playbook: shell", "- Playbook: playbook-Shell")
    (here / "w.md").write_text(text)
    stepflow(here, "run", "w.md")
    assert effects(here) == []


def test_step_that_never_succeeded_is_not_accepted_and_one_that_there_is_not_is_named(here: Path) -> None:
    write(here, "A=a", "B=b", "C=c", "D=d")
    assert stepflow(here, "run", "w.md", "--accept-unchanged", "4", code=2).stderr == (
        "error: step 4 cannot be accepted as it is: it never ran\n"
        "hint: leave `--accept-unchanged` out for it: it has to run\n"
    )
    assert stepflow(here, "run", "w.md", "--accept-unchanged", "E", code=2).stderr == (
        "error: there is no step E\nhint: one of: 1, 2, 3, 4\n"
    )


def test_log_is_that_of_the_step_which_has_the_number_now(here: Path) -> None:
    text = (here / "w.md").read_text()
    (here / "w.md").write_text(text.replace("echo c >> effects", "echo I am C"))
    stepflow(here, "run", "w.md")
    write(here, "N=n", "A=a", "B=b")
    shown = (here / "w.md").read_text() + "\n## Step 5: C\n- Playbook: shell\n- Prompt: echo I am C\n"
    (here / "w.md").write_text(shown)
    stepflow(here, "run", "w.md")
    assert stepflow(here, "logs", "5").stdout == "I am C\n"
    assert stepflow(here, "logs", "1").stdout == ""


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("Build", "`Build` cannot be the id of a step"),
        ("-x", "`-x` cannot be the id of a step"),
        ("2", "`2` cannot be the id of a step: commands take it for the step's number"),
        ("first", "step 2 has the id `first`, which step 1 has in line 6"),
    ],
)
def test_id_that_cannot_be_one_is_refused_at_its_line(tmp_path: Path, field: str, said: str) -> None:
    write(tmp_path, "A=a#first", f"B=b#{field}")
    done = stepflow(tmp_path, "check", "w.md", code=2)
    assert f"w.md:11:7: error[SF11{3 if field == 'first' else 2}]: {said}\n" in done.stdout


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """What the first version left: `version`, `notes` and `build` were done, `publish` failed."""
    shutil.copy(RECORDED / "workflow.md", tmp_path)
    state = tmp_path / ".stepflow/release"
    (state / "logs").mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    db = sqlite3.connect(state / "journal.db")
    db.executescript((RECORDED / "journal.sql").read_text().replace("{here}", str(tmp_path)))
    db.close()
    return tmp_path


def test_upgrade_goes_on_where_the_first_version_failed(recorded: Path) -> None:
    (recorded / "approved").touch()
    plan = stepflow(recorded, "plan", "workflow.md").stdout
    assert plan.startswith("plan for `release` on local: 1 to run, 1 to re-run, 3 to reuse\n")
    assert stepflow(recorded, "resume").returncode == 0
    assert effects(recorded) == ["publish", "announce"]
    assert "nothing to do" in stepflow(recorded, "plan", "workflow.md").stdout
    listed = json.loads(stepflow(recorded, "runs", "--json").stdout)["runs"]
    assert [[each["step"] for each in run["attempts"]] for run in listed] == [[4, 5], [1, 2, 3, 4]]


def test_command_that_the_first_version_finished_before_it_was_killed_is_not_run_again(recorded: Path) -> None:
    state = recorded / ".stepflow/release"
    with sqlite3.connect(state / "journal.db") as db:
        db.execute("UPDATE attempts SET ended = NULL, outcome = NULL WHERE step = 4")
    db.close()
    (state / "jobs/4-2bd801ad36962fc0").mkdir(parents=True)
    (state / "jobs/4-2bd801ad36962fc0/0.code").write_text("0")
    stepflow(recorded, "resume")
    assert effects(recorded) == ["announce"]


def test_upgrade_of_a_document_in_which_a_step_was_put_at_the_top(recorded: Path) -> None:
    (recorded / "approved").touch()
    text = (recorded / "workflow.md").read_text()
    for number in range(5, 0, -1):
        text = text.replace(f"Step {number}", f"Step {number + 1}")
    new = "## Step 1: Clean\n- Playbook: shell\n- Prompt: echo clean >> effects\n\n## Step 2: Version"
    (recorded / "workflow.md").write_text(text.replace("## Step 2: Version", new))
    stepflow(recorded, "run", "workflow.md")
    assert sorted(effects(recorded)) == ["announce", "clean", "publish"]
