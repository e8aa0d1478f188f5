"""One run at a time on a platform: a `flock`, which the kernel takes back when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from stepflow.errors import UsageError


@contextmanager
def held(state: Path) -> Iterator[None]:
    """Hold the platform's lock. Raises `UsageError` that names the process which has it, and since when."""
    state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _taken(state, os.pread(descriptor, 200, 0).decode(errors="replace")) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {time.time()}".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _taken(state: Path, holder: str) -> UsageError:
    pid, _, since = holder.partition(" ")
    try:
        clock = f"{datetime.fromtimestamp(float(since), UTC).astimezone():%H:%M:%S}"
    except ValueError:  # it has the lock, but has not yet written who it is
        return UsageError(f"`{state.name}` is being worked on by another stepflow", hint="wait until it is done")
    hint = f"wait until it is done, or interrupt it: `kill -INT {pid}`"
    return UsageError(f"`{state.name}` is being worked on by process {pid} since {clock}", hint=hint)
