"""One run at a time on a platform, and who it is."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from stepflow.engine import held
from stepflow.engine.lock import COMMANDS, WAITING, holder
from stepflow.errors import MachineError, StepflowError, UsageError


def refused(state: Path, kind: type[StepflowError] = UsageError) -> tuple[str, str]:
    """Return the error and the hint of the second who wants the lock."""
    with pytest.raises(kind) as caught, held(state):
        pass
    return caught.value.message, caught.value.hint


def test_lock_is_refused_while_it_is_held_with_the_process_and_the_time_and_free_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "XYZ-3")  # local time is three hours later than UTC
    time.tzset()
    state = tmp_path / "shop"
    with held(state):
        assert (state / "lock").read_text().startswith(f"{os.getpid()} ")
        (state / "lock").write_text("4711 86399.9")
        assert refused(state) == (
            "`shop` is being worked on by process 4711 since 02:59:59",
            "wait until it is done, or interrupt it: `kill -INT 4711`",
        )
    with held(state):
        assert (state / "lock").read_text().startswith(f"{os.getpid()} ")
    monkeypatch.undo()
    time.tzset()


def test_what_the_lock_says_of_a_former_holder_is_gone_when_it_is_taken(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("1 " + "9" * 100)
    with held(tmp_path):
        pid, since = (tmp_path / "lock").read_text().split()
        assert (int(pid), float(since) < time.time() + 1) == (os.getpid(), True)


@pytest.mark.parametrize(
    "held_by", [b"", b"4711", b"4711 soon", b"4711 nan", b"4711 1e400", b"\xff \xff", b"4711 " + b"9" * 300]
)
def test_lock_whose_holder_has_not_said_who_it_is_is_refused_too(tmp_path: Path, held_by: bytes) -> None:
    state = tmp_path / "shop"
    with held(state):
        (state / "lock").write_bytes(held_by)
        assert refused(state) == ("`shop` is being worked on by another stepflow", "wait until it is done")


def test_process_that_works_on_a_platform_is_named_as_long_as_it_lives(tmp_path: Path) -> None:
    assert holder(tmp_path) == 0
    with held(tmp_path):
        assert holder(tmp_path) == os.getpid()
    with subprocess.Popen(("true",)) as ended:
        ended.wait()
    (tmp_path / "lock").write_text(f"{ended.pid} 1.0 2.0")
    assert holder(tmp_path) == 0
    (tmp_path / "lock").write_text(f"{os.getppid()} 1.0 2.0")
    assert holder(tmp_path) == os.getppid()


@pytest.mark.parametrize("junk", [b"", b"x 1.0", b"\xff", b"9" * 40])
def test_lock_that_names_no_process_names_none(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "lock").write_bytes(junk)
    assert holder(tmp_path) == 0


def test_process_of_another_account_works_on_a_platform_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lock").write_text("4711 1.0")
    asked = []

    def kill(pid: int, number: int) -> None:
        asked.append((pid, number))
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    assert (holder(tmp_path), asked) == (4711, [(4711, 0)])


def test_state_directory_is_closed_to_others_and_left_out_by_git(tmp_path: Path) -> None:
    state = tmp_path / ".stepflow/shop"
    with held(state):
        assert (state / ".gitignore").read_text() == "*\n"
        assert [oct(path.stat().st_mode & 0o777) for path in (state, state / "lock")] == ["0o711", "0o600"]


@pytest.mark.parametrize("planted", [".stepflow", ".stepflow/shop"])
def test_state_directory_that_another_account_planted_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    state = tmp_path / ".stepflow/shop"
    state.mkdir(parents=True)
    real = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> object:
        found = real(path, follow_symlinks=follow_symlinks)
        return SimpleNamespace(st_uid=4711, st_mode=found.st_mode) if path == tmp_path / planted else found

    monkeypatch.setattr(Path, "stat", stat)
    problem = f"`{tmp_path / planted}` is owned by uid 4711, who could make stepflow run arbitrary commands as you"
    assert refused(state, MachineError) == (problem, "work in a directory of your own")
    assert list(state.iterdir()) == []


def test_state_directory_that_cannot_be_made_is_named_with_the_folder_that_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".stepflow").touch()
    state = tmp_path / ".stepflow/shop"
    assert refused(state, MachineError) == (
        f"the state directory `{state}` cannot be used: Not a directory",
        f"it needs a folder in which you may write: `ls -ld {tmp_path / '.stepflow'}`; or work in another directory",
    )


def test_lock_of_a_platform_that_was_removed_in_between_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the file and locking it, `down --data` may have removed it."""
    real, removed = fcntl.flock, []

    def flock(descriptor: int, operation: int) -> None:
        if not removed:
            removed.append(descriptor)
            (tmp_path / "shop/lock").unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with held(tmp_path / "shop"):
        assert (tmp_path / "shop/lock").read_text().startswith(f"{os.getpid()} ")
        assert refused(tmp_path / "shop")[0].startswith(f"`shop` is being worked on by process {os.getpid()} since ")


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, int]]:
    """Return the state of a platform with the lock that a guard holds: the run that had started it was killed."""
    for name in ("_PAUSE", "_SILENT"):
        monkeypatch.setattr(f"stepflow.engine.lock.{name}", 0.0)
    state = tmp_path / "shop"
    state.mkdir()
    with (state / COMMANDS).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield state, file.fileno()


def test_guards_of_a_run_that_was_killed_are_waited_for_and_it_is_said_once(guarded: tuple[Path, int]) -> None:
    state, guard = guarded
    said = []
    real, tries = time.sleep, []

    def sleep(seconds: float) -> None:
        tries.append(seconds)
        real(seconds)
        if len(tries) == 5:
            fcntl.flock(guard, fcntl.LOCK_UN)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", sleep)
        with held(state, waiting=said.append) as commands:
            assert os.path.samestat(os.fstat(commands), (state / COMMANDS).stat())
    assert (said, len(tries)) == ([WAITING], 5)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(commands)


def test_guards_that_never_end_are_an_error_that_says_how_to_find_them(
    guarded: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, _ = guarded
    monkeypatch.setattr("stepflow.engine.lock._LONGEST", 0.0)
    assert refused(state, MachineError) == (
        "commands of a run of `shop` that was killed do not end",
        f"`fuser {state / COMMANDS}` names their processes",
    )
    with (state / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # that of the run is free again
