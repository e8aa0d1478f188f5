"""Undoing: what was started is stopped in reverse order, what was written goes when it is asked for."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Callable, Collection
from contextlib import suppress

from stepflow.errors import PermanentError
from stepflow.targets import Progress
from stepflow.targets.local.execute import MARGIN, STEP, let_go, longest_stop
from stepflow.targets.local.identity import lives, send, sweep
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.pair import alive
from stepflow.targets.local.platform import Platform
from stepflow.targets.local.spec import Process


async def remove(
    platform: Platform, names: Collection[str] | None, say: Callable[[Progress], None], *, data: bool
) -> tuple[str, ...]:
    """See `stepflow.targets.Target.remove`."""
    layout = platform.layout
    if not layout.private.exists():
        return ()
    found = {n: p for n, p in platform.wanted().items() if names is None or p.owner in names or n in names}
    owners = tuple(dict.fromkeys(p.owner for p in sorted(found.values(), key=lambda p: (-p.rank, p.name))))
    if names is None:
        say(Progress(", ".join(f"`{each}`" for each in owners) or "the supervisor", "to stop"))
        await _end(platform)
        _clear(layout, data=data)
        return owners
    if alive(layout):
        await let_go(platform, found.values(), say)
    else:
        platform.drop(set(found))
        await _bury(platform, set(found))
    for process in found.values():
        _forget(layout, process, data=data)
    return owners


async def _end(platform: Platform) -> None:
    """Tell the supervisor to end and wait for it, then see to what a killed one may have left."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + longest_stop(platform.wanted().values())
    try:
        platform.end()
    except OSError:  # the disk is full, perhaps of the very thing that is to be removed
        _terminate(platform)
    while alive(platform.layout):
        if loop.time() > deadline:
            pid = platform.seen().supervisor
            raise PermanentError(f"the supervisor (pid {pid}) does not end", log=str(platform.layout.log("supervisor")))
        await asyncio.sleep(STEP)
    await _bury(platform, set(platform.seen().processes))


def _terminate(platform: Platform) -> None:
    """Have the supervisor end without a file: SIGTERM is its orderly stop."""
    import psutil  # noqa: PLC0415 - only needed where nothing can be written

    with suppress(psutil.Error):
        supervisor = psutil.Process(platform.seen().supervisor)
        if str(platform.layout.state) in supervisor.cmdline():
            supervisor.terminate()


async def _bury(platform: Platform, names: set[str]) -> None:
    left = [sight for name, sight in platform.seen().processes.items() if name in names]
    for sight in left:
        send(sight.pid, sight.started, signal.SIGTERM)
    deadline = asyncio.get_running_loop().time() + MARGIN
    while running := [sight for sight in left if lives(sight.pid, sight.started)]:
        late = asyncio.get_running_loop().time() - deadline
        if late > MARGIN:
            pids = ", ".join(str(sight.pid) for sight in running)
            raise PermanentError(f"these processes cannot be ended: {pids}", hint="are they another user's?")
        if late > 0:
            for sight in running:
                sweep(sight.pid)
        await asyncio.sleep(STEP)


def _clear(layout: Layout, *, data: bool) -> None:
    if data:
        folders = (layout.secrets, layout.data, layout.logs, layout.envs, layout.private)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        return
    shutil.rmtree(layout.configs, ignore_errors=True)
    for file in (layout.desired, layout.observed):
        file.unlink(missing_ok=True)


def _forget(layout: Layout, process: Process, *, data: bool) -> None:
    shutil.rmtree(layout.configs / process.name, ignore_errors=True)
    if data:
        for name in process.data:
            shutil.rmtree(layout.data / name, ignore_errors=True)
