"""What ends a run from outside, and that nothing of its commands outlives it, with the real command line."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import eventually

STEPFLOW = Path(sys.executable).with_name("stepflow")
WAITS = "trap 'echo asked >> said; exit 3' TERM; touch up; while :; do sleep 0.02 || true; done"
DEAF = "trap '' TERM; touch up; echo $$ > pid; while :; do sleep 0.02 || true; done"
LEAVER = "setsid sh -c 'echo $$ > pid; exec sleep 300' & while test ! -s pid; do :; done"
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")


def write(cwd: Path, *prompts: str) -> None:
    steps = (f"## Step {n}: Part {n}\n- Playbook: shell\n- Prompt: {text}\n" for n, text in enumerate(prompts, 1))
    (cwd / "w.md").write_text("# Chain\n\n" + "\n".join(steps), encoding="utf-8")


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def number(file: Path) -> int:
    assert eventually(lambda: file.exists() and file.read_text().strip())
    return int(file.read_text())


def begun(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a run, and return once its first command is up."""
    run = subprocess.Popen(
        [STEPFLOW, "run", "w.md", *arguments], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert eventually((cwd / "up").exists)
    return run


def told(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def ended(output: str) -> dict[int, str]:
    return {e["step"]: e["outcome"] for e in told(output) if e["event"] == "step_finished"}


def resumed(cwd: Path) -> dict[int, str]:
    done = subprocess.run(
        [STEPFLOW, "resume", "--json"], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    return ended(done.stdout)


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGHUP])
def test_one_signal_gives_the_running_command_its_grace_and_ends_the_run_resumable(
    tmp_path: Path, which: signal.Signals
) -> None:
    write(tmp_path, WAITS, "echo never")
    with begun(tmp_path, "--json") as run:
        run.send_signal(which)
        output, _ = run.communicate(timeout=60)
    assert run.returncode == 130
    assert (tmp_path / "said").read_text() == "asked\n"
    assert ended(output) == {1: "stopped", 2: "skipped"}
    assert [e["message"] for e in told(output) if e["event"] == "notice"] == [f"{which.name}: stopping step 1"]
    assert told(output)[-1]["status"] == "interrupted"
    write(tmp_path, "true", "true")
    assert resumed(tmp_path) == {1: "done", 2: "done"}


def test_command_that_succeeds_in_its_grace_is_not_run_again(tmp_path: Path) -> None:
    write(tmp_path, "echo x >> count; trap 'exit 0' TERM; touch up; while :; do sleep 0.02 || true; done", "true")
    with begun(tmp_path) as run:
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=60)
    assert resumed(tmp_path) == {1: "done", 2: "done"}
    assert (tmp_path / "count").read_text() == "x\n"


def test_hangup_is_ignored_under_nohup(tmp_path: Path) -> None:
    write(tmp_path, "touch up; while test ! -f go; do sleep 0.02; done")
    command = ["nohup", STEPFLOW, "run", "w.md"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert eventually((tmp_path / "up").exists)
        run.send_signal(signal.SIGHUP)
        (tmp_path / "go").touch()
        run.communicate(timeout=60)
    assert run.returncode == 0


def test_command_that_does_not_heed_the_signal_is_killed_after_its_grace(tmp_path: Path) -> None:
    write(tmp_path, DEAF)
    with begun(tmp_path) as run:
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=60)
    assert run.returncode == 130
    assert gone(number(tmp_path / "pid"))


@linux
def test_child_that_left_the_group_of_its_command_ends_with_its_step(tmp_path: Path) -> None:
    write(tmp_path, f"{LEAVER}; echo last words", "kill -0 $(cat pid) && exit 1; echo alone")
    done = subprocess.run([STEPFLOW, "run", "w.md"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  1 | last words\n" in done.stdout


@linux
def test_child_that_left_the_group_of_a_stopped_command_is_asked_to_end_and_does(tmp_path: Path) -> None:
    child = """setsid bash -c "trap 'echo asked > said; exit' TERM; touch up; while :; do sleep 0.02; done" """
    write(tmp_path, f"{child} & wait")
    with begun(tmp_path) as run:
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=60)
    assert (tmp_path / "said").read_text() == "asked\n"


@linux
def test_child_that_left_the_group_ends_when_the_engine_is_killed(tmp_path: Path) -> None:
    write(tmp_path, f"{LEAVER}; touch up; sleep 300")
    with begun(tmp_path) as run:
        run.kill()
        run.communicate(timeout=60)
    assert eventually(lambda: gone(number(tmp_path / "pid")))


def test_run_past_its_deadline_stops_what_runs_and_fails_resumable(tmp_path: Path) -> None:
    write(tmp_path, "sleep 300", "true")
    done = subprocess.run(
        [STEPFLOW, "run", "w.md", "--deadline", "0.3s", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert [e["message"] for e in told(done.stdout) if e["event"] == "notice"] == [
        "the deadline of 0.3 s is over: stopping step 1"
    ]
    assert ended(done.stdout) == {1: "stopped", 2: "skipped"}
    write(tmp_path, "true", "true")
    assert resumed(tmp_path) == {1: "done", 2: "done"}


@pytest.mark.parametrize("given", ["0", "soon", "-1", "1d"])
def test_deadline_that_is_no_time_is_refused(tmp_path: Path, given: str) -> None:
    write(tmp_path, "true")
    done = subprocess.run(
        [STEPFLOW, "run", "w.md", f"--deadline={given}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"error: `--deadline {given}` is not a time above 0\n"
        "hint: such as `--deadline 90s` or `--deadline 1h30m`\n"
    )  # fmt: skip


def test_resume_waits_until_the_commands_of_a_killed_run_are_gone(tmp_path: Path) -> None:
    """Also where the document has other steps by then: the lock belongs to what still runs something."""
    write(tmp_path, f"echo first >> order; {DEAF}")
    with begun(tmp_path) as first:
        first.kill()
        first.communicate(timeout=60)
    pid = number(tmp_path / "pid")
    assert not gone(pid)
    (tmp_path / "w.md").write_text(
        "# Chain\n\n## Step 1: Other\n- Playbook: shell\n"
        f"- Prompt: if kill -0 {pid}; then echo beside >> order; else echo alone >> order; fi\n"
    )
    done = subprocess.run([STEPFLOW, "resume"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "waiting for commands of a run that was killed to end\n"
    assert (tmp_path / "order").read_text() == "first\nalone\n"


@linux
def test_resume_ends_the_commands_of_a_run_that_was_killed_with_its_guards(tmp_path: Path) -> None:
    write(tmp_path, f"{DEAF}", "true")
    with begun(tmp_path) as run:
        guards = psutil.Process(run.pid).children()
        run.send_signal(signal.SIGSTOP)  # it would notice
        for each in guards:
            each.kill()
        run.kill()
        run.communicate(timeout=60)
    pid = number(tmp_path / "pid")
    assert not gone(pid)
    write(tmp_path, f"test ! -e /proc/{pid} || grep zombie /proc/{pid}/status", "true")
    done = subprocess.run([STEPFLOW, "resume", "--json"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended(done.stdout) == {1: "done", 2: "done"}
    said = [e["message"] for e in told(done.stdout) if e["event"] == "notice"]
    assert said
    assert all(each.startswith("ended ") and each.endswith(" of run 1, which was killed") for each in said)


def test_fewer_open_files_than_jobs_want_mean_fewer_steps_at_once(tmp_path: Path) -> None:
    counts = "echo +1 >> running; sleep 0.2; echo -1 >> running\n- RelyPreviousStep: no"  # long enough to meet
    write(tmp_path, *[counts] * 12)
    shell = f"ulimit -n 80; {STEPFLOW} run w.md --jobs 100"
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == "4 of the 100 steps at once: 80 open files are allowed (`ulimit -n 848` for all)\n"
    changes = [int(line) for line in (tmp_path / "running").read_text().split()]
    assert len(changes) == 24
    assert 1 < max(itertools.accumulate(changes)) <= 4


def test_too_few_open_files_for_any_step_are_an_error_that_says_how_many_it_needs(tmp_path: Path) -> None:
    write(tmp_path, "true")
    shell = f"ulimit -n 40; {STEPFLOW} run w.md"
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        3,
        "error: a run needs 56 open files, and 40 are allowed\nhint: `ulimit -n 112`\n",
    )


def test_signal_while_a_first_run_is_planned_leaves_no_state_behind(tmp_path: Path) -> None:
    """The command line itself: `cli.execute` undoes what it made when the run does not begin."""
    write(tmp_path, "true")
    code = (
        "import os, signal, sys\n"
        "from stepflow import cli\n"
        "from stepflow.cli import execute\n"
        "async def slow(*_, **__):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "execute.survey = slow\n"
        "sys.argv = ['stepflow', 'run', 'w.md']\n"
        "cli.console()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")
    assert not os.listdir(tmp_path / ".stepflow")  # noqa: PTH208 - names are enough
