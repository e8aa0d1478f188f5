"""Workflows of commands: what a person sees and what is left on disk, with the real command line."""

from __future__ import annotations

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

from stepflow.playbook import Playbook, Settings
from stepflow.testing import PlaybookContract
from stepflow_playbooks.shell.playbook import Shell, ShellSettings, command

STEPFLOW = Path(sys.executable).with_name("stepflow")
Done = subprocess.CompletedProcess[str]
Json = dict[str, Any]


class TestContract(PlaybookContract):
    """`shell` holds to what every playbook holds to."""

    def playbook(self) -> Playbook:
        return Shell()

    def settings(self) -> Settings:
        return ShellSettings(timeout=5, retries=1, creates=("dist/app",))


def stepflow(cwd: Path, *arguments: str, **environment: str) -> Done:
    env = {**os.environ, **environment}
    return subprocess.run(
        [STEPFLOW, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False, env=env
    )


def write(cwd: Path, *prompts: str) -> None:
    """Write a chain of commands; a prompt may go on with further fields."""
    steps = (f"## Step {n}: Part {n}\n- Playbook: shell\n- Prompt: {text}\n" for n, text in enumerate(prompts, 1))
    (cwd / "w.md").write_text("# Chain\n\n" + "\n".join(steps), encoding="utf-8")


def events(done: Done) -> list[Json]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def ended(done: Done) -> dict[int, str]:
    return {e["step"]: e["outcome"] for e in events(done) if e["event"] == "step_finished"}


def test_values_written_by_one_step_reach_the_next_as_json(tmp_path: Path) -> None:
    write(
        tmp_path,
        """printf '{"version": "1.2"}' > "$STEPFLOW_HANDOFF" """,
        f"""{sys.executable} -c 'import json, os
          taken = json.load(open(os.environ["STEPFLOW_HANDOFFS"]))
          print("got", taken["1"]["values"]["version"])'""",
    )
    done = stepflow(tmp_path, "run", "w.md")
    assert done.returncode == 0, done.stderr
    assert "  2 | got 1.2\n" in done.stdout
    assert done.stdout.endswith(": 2 done\n")
    assert "\x1b" not in done.stdout


def test_second_run_does_nothing_and_a_deleted_output_makes_its_step_run_again(tmp_path: Path) -> None:
    write(tmp_path, "echo x >> count; echo made > made.txt\n- Creates: made.txt", "echo y >> count")
    assert stepflow(tmp_path, "run", "w.md").returncode == 0
    assert ended(stepflow(tmp_path, "run", "w.md", "--json")) == {1: "reused", 2: "reused"}
    (tmp_path / "made.txt").unlink()
    done = stepflow(tmp_path, "resume")
    assert "check `creates made.txt` failed: `made.txt` does not exist" in done.stdout
    assert (tmp_path / "count").read_text() == "x\ny\nx\n"


def test_failing_step_gives_root_cause_log_and_resume_command_and_resume_finishes_the_rest(tmp_path: Path) -> None:
    write(tmp_path, "echo x >> count", "echo careful >&2; test -f fixed", "echo z >> count")
    done = stepflow(tmp_path, "run", "w.md")
    assert done.returncode == 1
    assert done.stderr == (
        "error: step 2 (Part 2) failed: `echo careful >&2; test -f fixed` ended with exit code 1\n"
        "  | careful\n"
        "  log: `.stepflow/chain/logs/02-part-2-run1.log`\n"
        "skipped: step 3 (Part 3), because step 2 failed\n"
        "hint: `stepflow resume` continues from here\n"
    )
    (tmp_path / "fixed").touch()
    assert ended(stepflow(tmp_path, "resume", "--json")) == {1: "reused", 2: "done", 3: "done"}
    assert (tmp_path / "count").read_text() == "x\nz\n"


def test_changed_command_runs_again_and_what_takes_the_same_value_does_not(tmp_path: Path) -> None:
    write(tmp_path, """printf '{"v": 1}' > "$STEPFLOW_HANDOFF" """, "echo y >> count")
    stepflow(tmp_path, "run", "w.md")
    write(tmp_path, """echo new; printf '{"v": 1}' > "$STEPFLOW_HANDOFF" """, "echo y >> count")
    assert "re-run only if the handoff of step 1 changes" in stepflow(tmp_path, "plan", "w.md").stdout
    assert ended(stepflow(tmp_path, "run", "w.md", "--json")) == {1: "done", 2: "reused"}
    write(tmp_path, """printf '{"v": 2}' > "$STEPFLOW_HANDOFF" """, "echo y >> count")
    done = stepflow(tmp_path, "run", "w.md", "--json")
    assert ended(done) == {1: "done", 2: "done"}
    assert [e["reasons"] for e in events(done) if e["event"] == "step_started"][1] == [
        "handoff `shell.values.v` changed"
    ]


def test_timeout_is_named_and_ends_the_whole_process_group(tmp_path: Path) -> None:
    write(tmp_path, "sleep 300 & echo $! > pid; sleep 300\n- Timeout: 0.3")
    done = stepflow(tmp_path, "run", "w.md")
    assert "failed: timeout: `sleep 300 & echo $! > pid; sleep 300` ran for 0.3 s\n" in done.stderr
    assert eventually(lambda: not psutil.pid_exists(int((tmp_path / "pid").read_text())))


def test_command_is_tried_again_as_often_as_it_may(tmp_path: Path) -> None:
    write(tmp_path, "echo x >> tries; test $(wc -l < tries) -ge 2\n- Retries: 1")
    done = stepflow(tmp_path, "run", "w.md", "--json")
    assert [e["attempt"] for e in events(done) if e["event"] == "retrying"] == [2]
    assert ended(done) == {1: "done"}
    assert (tmp_path / "tries").read_text() == "x\nx\n"


def test_command_that_took_too_long_is_tried_again_too(tmp_path: Path) -> None:
    write(tmp_path, "echo x >> tries; test $(wc -l < tries) -ge 2 || sleep 300\n- Timeout: 0.5\n- Retries: 1")
    done = stepflow(tmp_path, "run", "w.md", "--json")
    first = "`echo x >> tries; test $(wc -l < tries) -ge 2 ||…` ran for 0.5 s"
    assert [e["reason"] for e in events(done) if e["event"] == "retrying"] == [f"timeout: {first}"]
    assert ended(done) == {1: "done"}
    assert (tmp_path / "tries").read_text() == "x\nx\n"


def test_command_that_succeeds_only_after_its_timeout_is_run_again(tmp_path: Path) -> None:
    ends = "trap 'exit 0' TERM; while test $(wc -l < tries) -lt 2; do sleep 0.02; done"
    write(tmp_path, f"echo x >> tries; {ends}\n- Timeout: 0.5\n- Retries: 1")
    assert ended(stepflow(tmp_path, "run", "w.md", "--json")) == {1: "done"}
    assert (tmp_path / "tries").read_text() == "x\nx\n"


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ('{"a": 1, "v": NaN}', "`NaN` is not a number that JSON has: line 1 column 15"),
        ('{"v":\n-Infinity}', "`-Infinity` is not a number that JSON has: line 2 column 1"),
        ('{"v": [1e400]}', "`1e400` is not a number that JSON has: line 1 column 8"),
        ('{"v": ' + "[" * 5000 + "]" * 5000 + "}", "more than 100 levels: line 1 column 106"),
        ("[" * 100000, "more than 100 levels: line 1 column 101"),
    ],
)
def test_value_that_json_does_not_have_is_refused_with_its_place(tmp_path: Path, written: str, wrong: str) -> None:
    (tmp_path / "given").write_text(written)
    write(tmp_path, 'cp given "$STEPFLOW_HANDOFF"')
    done = stepflow(tmp_path, "run", "w.md")
    assert done.returncode == 1
    assert done.stderr.splitlines()[:2] == [
        f'error: step 1 (Part 1) failed: `cp given "$STEPFLOW_HANDOFF"` wrote no JSON to `$STEPFLOW_HANDOFF`: {wrong}',
        '  hint: write one JSON object, for example `jq -n \'{version: "1.2"}\' > "$STEPFLOW_HANDOFF"`',
    ]


def test_folder_in_place_of_the_handoff_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 'mkdir "$STEPFLOW_HANDOFF"')
    done = stepflow(tmp_path, "run", "w.md")
    what = 'what `mkdir "$STEPFLOW_HANDOFF"` put at `$STEPFLOW_HANDOFF` cannot be read: Is a directory'
    assert done.stderr.startswith(f"error: step 1 (Part 1) failed: {what}\n")
    assert done.returncode == 1


def test_link_to_nothing_in_place_of_the_handoff_hands_nothing_on(tmp_path: Path) -> None:
    write(tmp_path, 'ln -s nowhere/at/all "$STEPFLOW_HANDOFF"', 'cat "$STEPFLOW_HANDOFFS"')
    done = stepflow(tmp_path, "run", "w.md")
    assert (done.returncode, done.stderr) == (0, "")
    taken = [line.removeprefix("  2 | ") for line in done.stdout.splitlines() if line.startswith("  2 | ")]
    assert json.loads("".join(taken))["1"]["values"] == {}


def test_prompt_longer_than_the_system_takes_is_refused_before_anything_runs(tmp_path: Path) -> None:
    write(tmp_path, "touch ran", f"echo {'x' * 131_072}")
    done = stepflow(tmp_path, "run", "w.md")
    assert done.returncode == 2
    assert (
        "w.md:9:11: error[SF308]: the command of step 2 has 131,077 bytes, and the system takes at most 131,071\n"
        in (done.stderr)
    )
    assert "  hint: put it into a file, and let the prompt run that: `bash build.sh`\n" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_prompt_as_long_as_the_system_takes_runs(tmp_path: Path) -> None:
    write(tmp_path, f"echo {'x' * (131_071 - 12)}|wc -c")
    assert "  1 | 131060\n" in stepflow(tmp_path, "run", "w.md").stdout


def test_output_that_is_not_a_json_object_fails_with_what_to_write(tmp_path: Path) -> None:
    write(tmp_path, 'echo "[1]" > "$STEPFLOW_HANDOFF"')
    done = stepflow(tmp_path, "run", "w.md")
    assert "wrote a list to `$STEPFLOW_HANDOFF`, where an object is needed\n" in done.stderr
    assert '  hint: write one JSON object: `{"key": ...}`\n' in done.stderr


def test_nothing_of_a_finished_command_goes_on_in_the_background(tmp_path: Path) -> None:
    write(tmp_path, "sleep 300 & echo $! > pid")
    assert stepflow(tmp_path, "run", "w.md").returncode == 0
    assert eventually(lambda: not psutil.pid_exists(int((tmp_path / "pid").read_text())))


def test_command_whose_guard_is_killed_ends_with_it(tmp_path: Path) -> None:
    write(tmp_path, "echo $$ > pid; kill -9 $PPID; sleep 300")
    done = stepflow(tmp_path, "run", "w.md")
    assert "` was killed from outside\n" in done.stderr
    assert eventually(lambda: not psutil.pid_exists(int((tmp_path / "pid").read_text())))


def test_line_without_an_end_is_told_in_parts(tmp_path: Path) -> None:
    write(tmp_path, "head -c 300000 /dev/zero | tr '\\0' x")
    lines = [e["line"] for e in events(stepflow(tmp_path, "run", "w.md", "--json")) if e["event"] == "output"]
    assert "".join(lines) == "x" * 300_000
    assert len(lines) > 1


def test_half_of_a_surrogate_pair_in_what_a_command_writes_is_refused(tmp_path: Path) -> None:
    write(tmp_path, """printf '{"v": "\\\\ud800"}' > "$STEPFLOW_HANDOFF" """)
    done = stepflow(tmp_path, "run", "w.md")
    assert "wrote no JSON to `$STEPFLOW_HANDOFF`: 'utf-8' codec can't encode character '\\ud800'" in done.stderr


def test_run_beside_another_is_refused_with_its_pid_and_a_killed_one_leaves_no_lock_and_no_process(
    tmp_path: Path,
) -> None:
    write(tmp_path, "echo $$ > pid; sleep 300")
    with subprocess.Popen([STEPFLOW, "run", "w.md"], cwd=tmp_path, stdout=subprocess.DEVNULL) as first:
        assert eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        second = stepflow(tmp_path, "run", "w.md")
        assert second.returncode == 2
        assert second.stderr.startswith(f"error: `chain` is being worked on by process {first.pid} since ")
        assert second.stderr.endswith(f"hint: wait until it is done, or interrupt it: `kill -INT {first.pid}`\n")
        first.kill()
    assert eventually(lambda: not psutil.pid_exists(int((tmp_path / "pid").read_text())))
    write(tmp_path, "echo quick")
    assert ended(stepflow(tmp_path, "resume", "--json")) == {1: "done"}


@pytest.mark.parametrize(("presses", "last"), [(1, "done"), (2, "stopped")])
def test_interrupt_once_lets_the_running_step_finish_and_twice_stops_it(
    tmp_path: Path, presses: int, last: str
) -> None:
    write(tmp_path, "touch begun; while test ! -f go; do sleep 0.05; done", "echo never")
    with subprocess.Popen([STEPFLOW, "run", "w.md", "--json"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert eventually((tmp_path / "begun").exists)
        said: list[Json] = []
        for _ in range(presses):
            run.send_signal(signal.SIGINT)
            for line in run.stdout:
                said.append(json.loads(line))
                if said[-1]["event"] == "notice":
                    break
        (tmp_path / "go").touch()
        said += [json.loads(line) for line in run.stdout]
    assert run.returncode == 130
    notices = [e["message"] for e in said if e["event"] == "notice"]
    expected = ["interrupted: step 1 will finish, nothing else starts; Ctrl-C again stops at once", "stopping step 1"]
    assert notices == expected[:presses]
    assert {e["step"]: e["outcome"] for e in said if e["event"] == "step_finished"} == {1: last, 2: "skipped"}
    assert (said[-1]["event"], said[-1]["status"]) == ("run_finished", "interrupted")
    assert ended(stepflow(tmp_path, "resume", "--json"))[2] == "done"


def test_workflow_of_commands_starts_no_platform(tmp_path: Path) -> None:
    write(tmp_path, "echo hello")
    stepflow(tmp_path, "run", "w.md")
    assert {path.name for path in (tmp_path / ".stepflow/chain").iterdir()} <= {
        ".gitignore", "journal.db", "journal.db-wal", "journal.db-shm", "lock", "commands.lock",
        "hash.key", "logs", "jobs",
    }  # fmt: skip
    modes = {name: (tmp_path / ".stepflow/chain" / name).stat().st_mode & 0o777 for name in ("logs", "jobs")}
    assert modes == {"logs": 0o700, "jobs": 0o700}
    assert json.loads(stepflow(tmp_path, "status", "--json").stdout) == {
        "run": 1, "target": "local", "options": {}, "endpoints": {}, "services": [],
    }  # fmt: skip


def test_down_with_data_leaves_nothing_but_what_is_the_users(tmp_path: Path) -> None:
    write(tmp_path, "echo made > made.txt")
    stepflow(tmp_path, "run", "w.md")
    kept = stepflow(tmp_path, "down").stdout
    assert "left `.stepflow/chain`: data, secrets and the record; `stepflow down --data` removes it\n" in kept
    removed = stepflow(tmp_path, "down", "--data").stdout
    assert "removed `.stepflow/chain`: data, secrets, logs and the record of runs\n" in removed
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".stepflow", "made.txt", "w.md"]


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("make all", "make all"),
        ("`make all`", "make all"),
        ("```bash\nmake all\nmake test\n```", "make all\nmake test"),
        ("echo `date` and `date`", "echo `date` and `date`"),
    ],
)
def test_command_is_the_prompt_or_what_its_fence_holds(prompt: str, code: str) -> None:
    assert command(prompt) == code


def test_output_outside_of_the_working_directory_is_refused_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, "true\n- Creates: ../elsewhere")
    done = stepflow(tmp_path, "run", "w.md")
    assert done.returncode == 2
    assert "w.md:6:" in done.stderr
    assert "`../elsewhere` is not below the working directory" in done.stderr
