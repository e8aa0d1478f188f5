"""Commands that go on though their guard was killed: found by a variable that each process of a command inherits."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from stepflow.errors import MachineError

_PAUSE = 0.05  # seconds between two looks
_LONGEST = 10.0  # seconds that a process is waited for after SIGKILL


async def end_leftovers(variable: str, grace: float) -> int:
    """End all processes whose environment has this beginning of `NAME=value`, and return how many there were.

    They get SIGTERM, and `grace` seconds later SIGKILL. Only on Linux other processes show their environment. Raises
    `MachineError` for one that even SIGKILL does not end.
    """
    deadline, begun = time.monotonic() + grace, variable.encode()
    found = set(_with(begun))
    for each in found if grace else ():
        _signal(each, signal.SIGTERM)
    while left := set(_with(begun)):
        found |= left
        late = time.monotonic() - deadline
        if late > _LONGEST:
            problem = f"process {min(left)} of a command of a run that was killed does not end"
            raise MachineError(problem, hint=f"`ps -o stat,wchan:32,args -p {min(left)}` shows what it waits for")
        for each in left if late >= 0 else ():
            _signal(each, signal.SIGKILL)
        await asyncio.sleep(_PAUSE)
    return len(found)


def _with(variable: bytes) -> Iterator[int]:
    if sys.platform != "linux":
        return
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and int(each.name) != os.getpid():
            with suppress(OSError):  # it has ended, or is another account's
                environment = (each / "environ").read_bytes()  # nothing of a zombie
                if any(told.startswith(variable) for told in environment.split(b"\0")):
                    yield int(each.name)


def _signal(process: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(process, number)
