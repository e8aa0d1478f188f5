"""Removal: processes are stopped in reverse order; data goes only on request."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

from stepflow.errors import PermanentError
from stepflow.targets.actions import Action
from stepflow.targets.contract import Progress
from stepflow.targets.local.execute import MARGIN, STEP, let_go, longest_stop
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.pair import alive
from stepflow.targets.local.processes import lives, send, sweep
from stepflow.targets.local.spec import Process
from stepflow.targets.local.store import Store
from stepflow.targets.wholefile import remove_folder


def removals(causes: Mapping[str, str], processes: Iterable[Process]) -> tuple[Action, ...]:
    """Return the removal of every process of these owners, in the order in which they are stopped; pure."""
    mine = sorted((each for each in processes if each.owner in causes), key=lambda each: (-each.rank, each.name))
    return tuple(Action("remove", each.name, causes[each.owner], each.owner, subject=each) for each in mine)


async def remove(
    store: Store, names: Collection[str] | None, say: Callable[[Progress], None], *, data: bool
) -> tuple[str, ...]:
    """See `stepflow.targets.contract.Target.remove`."""
    layout = store.layout
    if not layout.private.exists():
        return ()
    there = store.desired().values()
    actions = removals(dict.fromkeys((each.owner for each in there) if names is None else names, ""), there)
    found = {each.name: each.subject for each in actions}
    owners = tuple(dict.fromkeys(each.owner for each in actions))
    if names is None:
        say(Progress(", ".join(f"`{each}`" for each in owners) or "the supervisor", "to stop"))
        await _end(store)
        _clear(layout, data=data)
        return owners
    if alive(layout):
        await let_go(store, found.values(), say)
    else:
        store.drop(set(found))
        await _bury(store, set(found))
    for process in found.values():
        _forget(layout, process, data=data)
    return owners


async def _end(store: Store) -> None:
    """Tell the supervisor to end and wait for it, then end what a killed one may have left."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + longest_stop(store.desired().values())
    try:
        store.end()
    except OSError:  # the disk is full, perhaps of the very thing that is to be removed
        _terminate(store)
    while alive(store.layout):
        if loop.time() > deadline:
            pid = store.observed().supervisor
            hint = f"`kill {pid}` has it stop all that it started; then type the same again"
            log = str(store.layout.log("supervisor"))
            raise PermanentError(f"the supervisor (pid {pid}) does not end", hint=hint, log=log)
        await asyncio.sleep(STEP)
    await _bury(store, set(store.observed().processes))


def _terminate(store: Store) -> None:
    """End the supervisor without a file: SIGTERM stops it in an orderly way."""
    import psutil  # noqa: PLC0415 - only needed where nothing can be written

    with suppress(psutil.Error):
        supervisor = psutil.Process(store.observed().supervisor)
        if str(store.layout.state) in supervisor.cmdline():
            supervisor.terminate()


async def _bury(store: Store, names: set[str]) -> None:
    left = [status for name, status in store.observed().processes.items() if name in names]
    for status in left:
        send(status.pid, status.started, signal.SIGTERM)
    deadline = asyncio.get_running_loop().time() + MARGIN
    while running := [status for status in left if lives(status.pid, status.started)]:
        late = asyncio.get_running_loop().time() - deadline
        if late > MARGIN:
            pids = ", ".join(str(status.pid) for status in running)
            raise PermanentError(f"these processes cannot be ended: {pids}", hint="are they another user's?")
        if late > 0:
            for status in running:
                sweep(status.pid)
        await asyncio.sleep(STEP)


def _clear(layout: Layout, *, data: bool) -> None:
    if data:
        folders = (layout.secrets, layout.data, layout.logs, layout.envs, layout.private)
        for folder in folders:
            remove_folder(folder, ignore_errors=True)
        return
    remove_folder(layout.configs, ignore_errors=True)
    for file in (layout.desired, layout.observed):
        file.unlink(missing_ok=True)


def _forget(layout: Layout, process: Process, *, data: bool) -> None:
    remove_folder(layout.configs / process.name, ignore_errors=True)
    if data:
        for name in process.data:
            remove_folder(layout.data / name, ignore_errors=True)
