"""The supervisor: makes what runs match the desired state, and writes what it observes. Run by its guardian.

Level-triggered: it compares the file of the desired state with what runs, and acts on the difference; the process that
writes the file may die at any moment. `python -m stepflow.targets.local.supervisor STATE LOCK_FD PARTNER_FD`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from stepflow.errors import MachineError
from stepflow.targets.local.child import Child
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.logs import rotate
from stepflow.targets.local.pair import Partner
from stepflow.targets.local.processes import lives, send, sweep
from stepflow.targets.local.spec import (
    ObservedState,
    Process,
    ProcessStatus,
    read_desired,
    read_observed,
    write_observed,
)

POLL = 0.1  # seconds between two reads of the desired state
LEFTOVER_GRACE = 3.0  # seconds that processes of a killed supervisor have to end by themselves
RETRY = 1.0  # seconds until a failed write is retried
ROTATION = 5.0  # seconds between two checks of the sizes of the logs


class Supervisor:
    """All processes of one platform."""

    def __init__(self, layout: Layout, partner: Partner) -> None:
        self._layout = layout
        self._partner = partner
        self._desired: dict[str, Process] = {}
        self._children: dict[str, Child] = {}
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._before: dict[str, ProcessStatus] = {}
        self._revision = ""
        self._dirty = False
        self._ending = False

    async def run(self) -> None:
        """Work until the desired state says `end` (or SIGTERM does), then leave nothing running."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._look)
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loop.add_reader(self._partner.socket, self._mourn)
        await self._bury()
        rotation = asyncio.create_task(self._rotate())
        while self._children or not self._ending:
            self._read()
            self._converge()
            await asyncio.sleep(POLL)
        rotation.cancel()
        self._write()
        self._partner.dismiss()

    def _look(self) -> None:
        for child in self._children.values():
            child.look()

    def _end(self) -> None:
        self._ending = True

    def _mourn(self) -> None:
        """The guardian was killed: start another, unless all is about to end."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._partner.socket)
        if not self._ending:
            loop.call_later(POLL, self._revive)

    def _revive(self) -> None:
        self._partner.revive()
        asyncio.get_running_loop().add_reader(self._partner.socket, self._mourn)
        self._changed()

    async def _bury(self) -> None:
        """Wait for the processes that a killed supervisor left, then kill them: no process may run twice."""
        stops: dict[str, int] = {}
        with suppress(MachineError):  # a damaged file says nothing of what was left
            self._before = dict(read_observed(self._layout.observed).processes)
            stops = {name: process.stop for name, process in read_desired(self._layout.desired).processes.items()}
        for name, status in self._before.items():
            send(status.pid, status.started, stops.get(name, signal.SIGTERM))
        deadline = asyncio.get_running_loop().time() + LEFTOVER_GRACE
        while any(lives(s.pid, s.started) for s in self._before.values()):
            if asyncio.get_running_loop().time() > deadline:
                for status in self._before.values():
                    if lives(status.pid, status.started):
                        sweep(status.pid)
            await asyncio.sleep(0.02)

    def _read(self) -> None:
        """Take over the desired state if it is another than the one that is worked on; a damaged one is left alone.

        The state directory is followed where it is moved; once it is removed, all ends.
        """
        self._layout = Layout(Path(self._partner.state))
        self._ending = self._ending or not self._partner.reachable
        if not self._layout.observed.exists():  # removed because it was damaged
            self._changed()
        try:
            stat = self._layout.desired.stat()
        except FileNotFoundError:
            return
        revision = f"{stat.st_ino}.{stat.st_mtime_ns}"
        if revision != self._revision:
            try:
                desired = read_desired(self._layout.desired)
            except MachineError:
                return
            self._desired, self._revision = dict(desired.processes), revision
            self._ending = self._ending or desired.end
            self._changed()

    def _converge(self) -> None:
        """Take the next steps from what runs towards what is desired."""
        desired = {} if self._ending else self._desired
        for name in [name for name, task in self._stopping.items() if task.done()]:
            del self._stopping[name], self._children[name]
            self._changed()
        last = max((c.process.rank for name, c in self._children.items() if name not in desired), default=0)
        for name, child in self._children.items():
            process = desired.get(name)
            leaves = child.process.rank == last if process is None else process is not child.process
            if leaves and name not in self._stopping and not child.becomes(process):
                self._stopping[name] = asyncio.create_task(child.stop())
        for name, process in desired.items():
            if name not in self._children:
                self._children[name] = Child(process, self._before.pop(name, None), self._ready, self._changed)
                self._changed()

    def _ready(self, owner: str) -> bool:
        return any(c.process.owner == owner and c.status.state == "ready" for c in self._children.values())

    def _changed(self) -> None:
        if not self._dirty:
            self._dirty = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._dirty = False
        statuses = {name: child.status for name, child in self._children.items()}
        try:
            write_observed(
                self._layout.observed, ObservedState(statuses, os.getpid(), self._partner.pid, self._revision)
            )
        except OSError:  # the disk is full: no reason to let go of the processes, nor to stay when it was told to end
            if not self._ending:
                asyncio.get_running_loop().call_later(RETRY, self._changed)

    async def _rotate(self) -> None:
        while True:
            for log in self._layout.logs.glob("*.log"):
                rotate(log)
            await asyncio.sleep(ROTATION)


def main(state: str, lock: str, socket: str) -> None:
    """Run until told to end."""
    partner = Partner("guardian", state, int(lock), int(socket))
    asyncio.run(Supervisor(Layout(Path(state)), partner).run())


if __name__ == "__main__":
    main(*sys.argv[1:])
