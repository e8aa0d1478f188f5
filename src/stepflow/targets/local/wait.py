"""Waiting for processes, always with a deadline, saying for what and what the last answer was."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Collection

from stepflow.errors import PermanentError
from stepflow.targets import Progress
from stepflow.targets.local import ports
from stepflow.targets.local.logs import tail
from stepflow.targets.local.platform import Platform
from stepflow.targets.local.spec import Process, Sight
from stepflow.targets.ports import by, free

STEP = 0.05  # seconds between two looks
LINES = 15  # of the log that an error shows
MARGIN = 10.0  # seconds beyond a process's own grace


async def wait(platform: Platform, process: Process, say: Callable[[Progress], None]) -> None:
    """Wait until a process is ready. Raises `PermanentError` when it ends instead, or takes longer than it may."""
    loop = asyncio.get_running_loop()
    deadline, said = loop.time() + process.ready.deadline, ""
    while (sight := platform.sight(process)).state != "ready":
        if sight.state == "failed":
            raise _failure(platform, process, sight, sight.detail)
        if loop.time() > deadline:
            late = f"is not ready after {process.ready.deadline:g} s; the last answer: {sight.detail or 'none'}"
            raise _failure(platform, process, sight, late)
        if sight.detail != said:
            said = sight.detail
            say(Progress(f"`{process.name}`", said))
        await asyncio.to_thread(platform.supervise)
        await asyncio.sleep(STEP)


async def let_go(platform: Platform, processes: Collection[Process], say: Callable[[Progress], None]) -> None:
    """Have processes run no longer, and wait until they are gone. Raises `PermanentError` when they are not."""
    names = {process.name for process in processes}
    platform.drop(names)
    loop = asyncio.get_running_loop()
    deadline, said = loop.time() + longest_stop(processes), ""
    while left := sorted(names & platform.seen().processes.keys()):
        if loop.time() > deadline:
            raise PermanentError(f"still not stopped: {', '.join(left)}")
        if left[0] != said:
            said = left[0]
            say(Progress(f"`{said}` to stop"))
        await asyncio.to_thread(platform.supervise)
        await asyncio.sleep(STEP)


def longest_stop(processes: Collection[Process]) -> float:
    """Say how many seconds stopping these may take: rank by rank, draining and then ending within the grace."""
    graces: dict[int, float] = {}
    for process in processes:
        graces[process.rank] = max(graces.get(process.rank, 0.0), process.grace)
    return 2 * sum(graces.values()) + MARGIN


def _failure(platform: Platform, process: Process, sight: Sight, what: str) -> PermanentError:
    lines = [f"`{process.name}` {what}"]
    taken = [] if sight.pid else [number for number in process.ports.values() if not free(number)]
    lines += [f"port {number} is taken{by(number)}" for number in taken]
    written = tail(platform.layout.log(process.name), LINES, sight.offset)
    if written:
        lines += ["the last lines of its log:", *(f"  {line}" for line in written)]
    hint = ports.TAKEN if taken else _hint(process, what, log=bool(written))
    return PermanentError("\n".join(lines), log=process.log, hint=hint)


def _hint(process: Process, what: str, *, log: bool) -> str:
    said = [f"`stepflow logs {process.owner}` shows all of it"] if log else []
    if signal.SIGKILL.name in what:
        said.insert(0, "it was killed from outside, by somebody or by the kernel for want of memory")
    return "; ".join(said) or "it wrote nothing to its log"
