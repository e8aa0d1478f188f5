"""One run at a time on a platform: a `flock`, which the kernel takes back when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from stepflow.errors import MachineError, UsageError


@contextmanager
def held(state: Path) -> Iterator[None]:
    """Hold the platform's lock.

    Raises `UsageError` that names the process which has it, and since when, and `MachineError` for a directory that
    cannot be used.
    """
    descriptor = _locked(state)
    try:
        os.ftruncate(descriptor, 0)
        with suppress(OSError):  # on a full disk the holder stays unnamed, and `down` works all the same
            os.pwrite(descriptor, f"{os.getpid()} {time.time()}".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder(state: Path) -> int:
    """Return the process that works on the platform, without taking the lock from one that begins; 0 for none."""
    try:
        pid = int((state / "lock").read_text(encoding="ascii").partition(" ")[0])
        os.kill(pid, 0)
    except PermissionError:  # another account's
        return pid
    except (OSError, ValueError, OverflowError):
        return 0
    return pid


def _make(state: Path) -> None:
    """Make the directory: others may pass through (PostgreSQL's account has to), not look around; git leaves it out."""
    state.mkdir(mode=0o711, parents=True, exist_ok=True)
    for folder in (state.parent, state):
        if (owner := folder.stat().st_uid) != os.geteuid():
            message = f"`{folder}` is owned by uid {owner}, who could make stepflow run arbitrary commands as you"
            raise MachineError(message, hint="work in a directory of your own")
    ignore = state / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="ascii")


def _locked(state: Path) -> int:
    """Lock the file that has the name now: its last holder may have removed the one that was opened (`down --data`)."""
    path = state / "lock"
    while True:
        try:
            _make(state)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            there = next(folder for folder in (state, *state.parents) if os.access(folder, os.F_OK))
            hint = f"it needs a folder in which you may write: `ls -ld {there}`; or work in another directory"
            raise MachineError(f"the state directory `{state}` cannot be used: {error.strerror}", hint=hint) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same(path, descriptor):
                return descriptor
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace")
            os.close(descriptor)
            raise _taken(state, holder) from error
        os.close(descriptor)


def _same(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _taken(state: Path, holder: str) -> UsageError:
    pid, _, since = holder.partition(" ")
    try:
        clock = f"{datetime.fromtimestamp(float(since), UTC).astimezone():%H:%M:%S}"
    except ValueError:  # it has the lock, but has not yet written who it is
        return UsageError(f"`{state.name}` is being worked on by another stepflow", hint="wait until it is done")
    hint = f"wait until it is done, or interrupt it: `kill -INT {pid}`"
    return UsageError(f"`{state.name}` is being worked on by process {pid} since {clock}", hint=hint)
