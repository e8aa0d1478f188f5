"""Where a run is shown breaks, stalls or lacks characters, and the run goes on, with the real command line."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from waiting import eventually

STEPFLOW = Path(sys.executable).with_name("stepflow")
MUCH = 100_000  # lines, many times what a pipe takes
RUNS = "`stepflow runs` shows how it ends"
ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "locale of ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
FOREIGN = """# Übung 二

## Overview
Über « alles… 😀

## Step 1: Straße 二
- Playbook: shell
- Prompt: printf 'é 二 😀\\n'; touch 'é.txt'
- Creates: é.txt

## Step 2: Schluß
- Playbook: shell
- RelyPreviousStep: Step 1 - weil “é”
- Prompt: test -f é.txt && echo ü && test -f ok
"""


AS_JSON = ("run ü.md --json", "check ü.md --json", "show ü.md --json", "graph ü.md --format json")


def write(cwd: Path, *prompts: str) -> None:
    """Write a chain of commands."""
    steps = (f"## Step {n}: Part {n}\n- Playbook: shell\n- Prompt: {text}\n" for n, text in enumerate(prompts, 1))
    (cwd / "w.md").write_text("# Chain\n\n" + "\n".join(steps), encoding="utf-8")


def bash(cwd: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell, in which `stepflow` is this one."""
    env = {**os.environ, "PATH": f"{STEPFLOW.parent}:{os.environ['PATH']}", **environment}
    command = ["bash", "-c", f"set -o pipefail; {line}"]
    with subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, process_group=0, encoding="latin-1"
    ) as shell:
        try:
            out, err = shell.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):  # one that hangs
                os.killpg(shell.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, shell.returncode, out, err)


@contextmanager
def running(cwd: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run stepflow with its stdout in a pipe, to be read by the test."""
    with subprocess.Popen([STEPFLOW, *arguments], cwd=cwd, stdout=subprocess.PIPE, text=True) as run:
        try:
            yield run
        finally:
            run.kill()


def steps_of_last_run(cwd: Path) -> tuple[str, dict[str, str]]:
    last = json.loads(bash(cwd, "stepflow runs --json").stdout)["runs"][0]
    return last["status"], last["steps"]


@contextmanager
def on_terminal(cwd: Path, *arguments: str, err: int | None = None) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run stepflow on a terminal of its own, and yield it with the side of the terminal that reads."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    command, env = [STEPFLOW, *arguments], {**os.environ, "TERM": "xterm"}
    run = subprocess.Popen(
        command, cwd=cwd, stdin=slave, stdout=slave, stderr=slave if err is None else err, env=env,
        start_new_session=True,  # the terminal is not the one that controls it: no SIGHUP comes
    )  # fmt: skip
    os.close(slave)
    with run:
        try:
            yield run, master
        finally:
            run.kill()
            with suppress(OSError):  # the test has closed it
                os.close(master)


@pytest.mark.parametrize("how", ["", "--json"])
@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ("| head -n 1 > seen", "broken pipe"),
        ("> /dev/full", "no space left on device"),
        (">&-", ""),
        ("1< w.md", "bad file descriptor"),
    ],
)
def test_run_goes_on_to_its_end_when_stdout_breaks_and_says_so_once(
    tmp_path: Path, how: str, shown: str, why: str
) -> None:
    write(tmp_path, f"seq {MUCH}", "touch made")
    done = bash(tmp_path, f"stepflow run w.md {how} {shown}")
    said = f"hint: stdout cannot be written any more ({why}); the run goes on, and {RUNS}\n" if why else ""
    assert (done.returncode, done.stderr) == (0, said)
    assert steps_of_last_run(tmp_path) == ("succeeded", {"1": "done", "2": "done"})
    log = tmp_path / ".stepflow/chain/logs/01-part-1-run1.log"
    assert log.read_text(encoding="utf-8").splitlines()[-1] == str(MUCH)


def test_run_whose_stdout_broke_ends_with_its_own_exit_code_and_its_failures_on_stderr(tmp_path: Path) -> None:
    write(tmp_path, f"seq {MUCH}", "echo why; exit 7", "true")
    done = bash(tmp_path, "stepflow run w.md > /dev/full")
    assert done.returncode == 1
    assert done.stderr == (
        f"hint: stdout cannot be written any more (no space left on device); the run goes on, and {RUNS}\n"
        "error: step 2 (Part 2) failed: `echo why; exit 7` ended with exit code 7\n"
        "  | why\n"
        "  log: `.stepflow/chain/logs/02-part-2-run1.log`\n"
        "skipped: step 3 (Part 3), because step 2 failed\n"
        "hint: `stepflow resume` continues from here\n"
    )


@pytest.mark.parametrize("streams", ["2>&-", "2> /dev/full", ">&- 2>&-", "<&- >&- 2>&-", "> /dev/full 2> /dev/full"])
def test_run_needs_neither_stderr_nor_stdin(tmp_path: Path, streams: str) -> None:
    write(tmp_path, "echo out; echo err >&2", "exit 7")
    assert bash(tmp_path, f"stepflow run w.md {streams}").returncode == 1
    assert steps_of_last_run(tmp_path) == ("failed", {"1": "done", "2": "failed"})


@pytest.mark.parametrize("fate", ["succeeded", "failed"])
def test_run_goes_on_when_its_terminal_goes_away(tmp_path: Path, fate: str) -> None:
    write(tmp_path, "echo begun; while test ! -f go; do sleep 0.05; done; seq 1000", f"test {fate} = succeeded")
    with (
        (tmp_path / "messages").open("wb") as messages,
        on_terminal(tmp_path, "run", "w.md", err=messages.fileno()) as (run, master),
    ):
        seen = b""
        while b"begun" not in seen:
            seen += os.read(master, 4096)
        os.close(master)
        (tmp_path / "go").touch()
        assert run.wait(60) == {"succeeded": 0, "failed": 1}[fate]
    assert steps_of_last_run(tmp_path) == (fate, {"1": "done", "2": {"succeeded": "done"}.get(fate, "failed")})
    said = f"hint: stdout cannot be written any more (input/output error); the run goes on, and {RUNS}\n"
    assert (tmp_path / "messages").read_text(encoding="utf-8") == said


def test_live_view_gives_the_terminal_back_however_the_run_ends(tmp_path: Path) -> None:
    write(tmp_path, "exit 7")
    with on_terminal(tmp_path, "run", "w.md") as (run, master):
        seen = b""
        while b"continues from here" not in seen:
            seen += os.read(master, 4096)
        assert run.wait(60) == 1
    assert seen.count(b"\x1b[?25l") == seen.count(b"\x1b[?25h") == 1  # the cursor is hidden, and shown again


@pytest.mark.parametrize("how", ["", "--json"])
def test_run_does_not_wait_for_a_reader_that_takes_nothing(tmp_path: Path, how: str) -> None:
    write(tmp_path, f"seq {MUCH}; touch printed", "touch made")
    with running(tmp_path, "run", "w.md", *how.split()) as run:
        assert run.stdout is not None
        assert eventually((tmp_path / "made").exists)
        assert eventually(lambda: steps_of_last_run(tmp_path)[0] == "succeeded")
        said = run.stdout.read()
        assert run.wait(60) == 0
    last = [json.loads(line)["event"] for line in said.splitlines()][-1] if how else said.splitlines()[-1]
    assert last == "run_finished" if how else last.endswith(": 2 done")
    assert "lines of output left out, since nothing read them; the logs have them" in said


def test_interrupt_ends_a_run_whose_output_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, f"seq {MUCH}; touch printed; sleep 300")
    with running(tmp_path, "run", "w.md") as run:
        assert eventually((tmp_path / "printed").exists)
        run.send_signal(signal.SIGINT)
        run.send_signal(signal.SIGINT)
        assert eventually(lambda: run.poll() is not None or run.send_signal(signal.SIGINT))
        assert run.returncode == 130
    assert steps_of_last_run(tmp_path) == ("interrupted", {"1": "stopped"})


@pytest.mark.parametrize("command", ["graph w.md --format html", "show w.md", "check w.md", "--help", "playbooks"])
def test_command_whose_reader_leaves_or_whose_terminal_is_gone_ends_quietly(tmp_path: Path, command: str) -> None:
    write(tmp_path, *["true"] * 500)
    done = bash(tmp_path, f"stepflow {command} | true")
    assert (done.returncode, done.stderr) in {(1, ""), (0, "")}
    with (
        (tmp_path / "messages").open("wb") as messages,
        on_terminal(tmp_path, *command.split(), err=messages.fileno()) as (run, master),
    ):
        os.close(master)
        assert run.wait(60) == 1
    assert (tmp_path / "messages").read_text(encoding="utf-8") == ""


def test_command_that_cannot_print_says_so(tmp_path: Path) -> None:
    write(tmp_path, "true")
    done = bash(tmp_path, "stepflow graph w.md > /dev/full")
    assert done.returncode == 3
    assert done.stderr == (
        "error: stdout cannot be written: no space left on device\nhint: free some space, then run it again\n"
    )
    assert bash(tmp_path, "stepflow graph w.md >&-").returncode == 0


@pytest.fixture(scope="module")
def in_utf_8(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Return what each command says as JSON where stdout is UTF-8."""
    cwd = tmp_path_factory.mktemp("utf-8")
    (cwd / "ü.md").write_text(FOREIGN, encoding="utf-8")
    said = {command: bash(cwd, f"stepflow {command}", PYTHONIOENCODING="utf-8").stdout for command in AS_JSON}
    return {command: meant(text.encode("latin-1").decode()) for command, text in said.items()}


def meant(text: str) -> object:
    """Return what a command said, without the times in it."""
    try:
        return json.loads(text)
    except ValueError:
        rows = [json.loads(line) for line in text.splitlines()]
        return [(each["event"], each.get("line"), each.get("steps")) for each in rows]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_prints_text_of_any_script_in_any_encoding(
    tmp_path: Path, encoding: str, in_utf_8: dict[str, object]
) -> None:
    (tmp_path / "ü.md").write_text(FOREIGN, encoding="utf-8")
    (tmp_path / "falsch.md").write_text(FOREIGN.replace("shell", "shöll").replace("Prompt", "Prömpt"), "utf-8")
    expected = {
        **dict.fromkeys(AS_JSON, 0), "run ü.md --json": 1, "plan ü.md": 0, "check falsch.md": 2, "show ü.md": 0,
        "graph ü.md": 0, "graph ü.md --format html": 0, "logs 1": 0, "logs ö": 2, "status": 0, "resume": 1,
        "run ö.md": 2, "run ü.md --name ö": 2, "plan ü.md --ö": 2, "ö": 2, "down": 0,
    }  # fmt: skip
    done = {command: bash(tmp_path, f"stepflow {command}", **ENCODINGS[encoding]) for command in expected}
    assert {command: each.returncode for command, each in done.items()} == expected
    assert [each for each in done.values() if "itself failed" in each.stdout + each.stderr] == []
    assert "\\u4e8c \\ud83d\\ude00\n" in done["logs 1"].stdout
    assert {command: meant(done[command].stdout) for command in AS_JSON} == in_utf_8


def pressed_at(cwd: Path, module: str, press: str = "os.kill(os.getpid(), signal.SIGINT)") -> dict[str, str]:
    """Return the environment in which Ctrl-C is pressed when a module is about to be imported."""
    hooks = cwd / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Press:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        f"            sys.meta_path.remove(self)\n"
        f"            {press}\n"
        "sys.meta_path.insert(0, Press())\n",
        encoding="utf-8",
    )
    return {"PYTHONPATH": str(hooks)}


@pytest.mark.parametrize(
    ("at", "command"),
    [
        ("typer", "--help"),
        ("stepflow.cli.options", "--version"),
        ("stepflow.cli.streams", "check w.md"),
        ("stepflow.workflow", "check w.md"),
        ("mistune", "show w.md"),
        ("stepflow.registry", "plan w.md"),
        ("pydantic", "graph w.md"),
        ("stepflow_playbooks.shell.playbook", "plan w.md"),
        ("sqlite3", "run w.md"),
    ],
)
def test_interrupt_at_an_early_moment_ends_with_130_and_says_nothing(tmp_path: Path, at: str, command: str) -> None:
    write(tmp_path, "touch ran")
    done = bash(tmp_path, f"stepflow {command}", **pressed_at(tmp_path, at))
    assert (done.returncode, done.stderr) == (130, "")
    assert {path.name for path in tmp_path.iterdir()} == {"w.md", "hooks"}


def test_interrupt_that_python_would_swallow_ends_the_command(tmp_path: Path) -> None:
    write(tmp_path, "true")
    press = "type('Gone', (), {'__del__': lambda self: os.kill(os.getpid(), signal.SIGINT)})()"
    done = bash(tmp_path, "stepflow check w.md", **pressed_at(tmp_path, "mistune", press))
    assert (done.returncode, done.stderr) == (130, "")


def test_interrupt_that_the_shell_ignores_stays_ignored(tmp_path: Path) -> None:
    write(tmp_path, "true")
    for module in ("typer", "mistune"):
        done = bash(tmp_path, "trap '' INT; stepflow check w.md", **pressed_at(tmp_path, module))
        assert (done.returncode, done.stderr) == (0, "")
        shutil.rmtree(tmp_path / "hooks")
