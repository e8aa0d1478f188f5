"""One run at a time on a platform: a `flock`, which the kernel takes back when its holder dies, however it dies.

A second one is held together with the guards of the commands (`guard.py`): when the engine is killed, it is taken until
they have ended what the engine had started, and who comes next waits for them.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from stepflow.errors import MachineError, UsageError

WAITING = "waiting for commands of a run that was killed to end"
COMMANDS = "commands.lock"
_PAUSE = 0.05  # seconds between two tries
_SILENT = 0.5  # seconds of waiting of which nothing is said
_LONGEST = 60.0  # seconds that guards are waited for: they have ended everything long before


@contextmanager
def held(state: Path, *, waiting: Callable[[str], object] = str) -> Iterator[int]:
    """Hold the platform's lock, once the guards of a run that was killed are gone; `waiting` is told when that takes
    long. Yields the open file that guards inherit.

    Raises `UsageError` that names the process which has the lock, and since when, and `MachineError` for a directory
    that cannot be used.
    """
    descriptor = _locked(state, "lock")
    try:
        os.ftruncate(descriptor, 0)
        with suppress(OSError):  # on a full disk the holder stays unnamed, and `down` works all the same
            os.pwrite(descriptor, f"{os.getpid()} {time.time()}".encode(), 0)
        commands = _waited(state, waiting)
        try:
            yield commands
        finally:
            os.close(commands)
    finally:
        os.close(descriptor)


def _waited(state: Path, waiting: Callable[[str], object]) -> int:
    begun, told = time.monotonic(), False
    while True:
        try:
            return _locked(state, COMMANDS)
        except UsageError as error:
            took = time.monotonic() - begun
            if took > _LONGEST:
                problem = f"commands of a run of `{state.name}` that was killed do not end"
                raise MachineError(problem, hint=f"`fuser {state / COMMANDS}` names their processes") from error
            if took > _SILENT and not told:
                waiting(WAITING)
                told = True
            time.sleep(_PAUSE)


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


def lost(state: Path, descriptor: int) -> bool:
    """Return whether the directory of what `held` yields is there no more: something has removed or moved it."""
    return not _same(state / COMMANDS, descriptor)


def _locked(state: Path, name: str) -> int:
    """Lock the file that has the name now: its last holder may have removed the one that was opened (`down --data`)."""
    path = state / name
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
    except OSError:
        return False


def _taken(state: Path, holder: str) -> UsageError:
    pid, _, since = holder.partition(" ")
    try:
        clock = f"{datetime.fromtimestamp(float(since), UTC).astimezone():%H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # it has the lock, but has not yet written who it is
        return UsageError(f"`{state.name}` is being worked on by another stepflow", hint="wait until it is done")
    hint = f"wait until it is done, or interrupt it: `kill -INT {pid}`"
    return UsageError(f"`{state.name}` is being worked on by process {pid} since {clock}", hint=hint)
