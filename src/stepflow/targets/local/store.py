"""The two files of a platform, desired and observed: read again only when they changed, edited under a lock."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

from stepflow.errors import MachineError
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.pair import alive, launch
from stepflow.targets.local.processes import lives
from stepflow.targets.local.spec import (
    DesiredState,
    ObservedState,
    Process,
    ProcessStatus,
    read_desired,
    read_observed,
    write_desired,
)

_START = 10.0  # seconds in which a supervisor must have started
_T = TypeVar("_T")


class _RereadFile(Generic[_T]):
    """A file that is read again when it was replaced."""

    def __init__(self, path: Path, read: Callable[[Path], _T]) -> None:
        self._path = path
        self._read = read
        self._known: tuple[tuple[int, int] | None, _T] | None = None

    def value(self) -> _T:
        try:
            stat = self._path.stat()
            mark = (stat.st_ino, stat.st_mtime_ns)
        except FileNotFoundError:
            mark = None
        if self._known is None or self._known[0] != mark:
            self._known = (mark, self._read(self._path))
        return self._known[1]


class Store:
    """The desired and the observed state, as the files hold them."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._desired = _RereadFile(layout.desired, read_desired)
        self._observed = _RereadFile(layout.observed, read_observed)

    def desired(self) -> Mapping[str, Process]:
        """Return the desired processes; none once the platform was told to end."""
        desired = self._desired.value()
        return {} if desired.end else desired.processes

    def copies(self, owner: str) -> dict[int, Process]:
        """Return the processes of a workload by their numbers, in order."""
        mine = {name: process for name, process in self.desired().items() if process.owner == owner}
        numbered = {int(name.removeprefix(f"{owner}-")): process for name, process in mine.items()}
        return dict(sorted(numbered.items()))

    def observed(self) -> ObservedState:
        """Return what the supervisor wrote last."""
        return self._observed.value()

    def status(self, process: Process) -> ProcessStatus:
        """Return the status of a process, as far as it is known of this very definition."""
        status = self.observed().processes.get(process.name)
        if status is None or status.stamp != process.stamp:
            return ProcessStatus(process.stamp, detail="not started yet")
        if status.pid and not lives(status.pid, status.started):
            return replace(status, state="starting", pid=0, detail="ended a moment ago")
        return status

    def runs(self, name: str) -> bool:
        """Return whether a process of this name runs now, of whichever definition."""
        status = self.observed().processes.get(name)
        return status is not None and lives(status.pid, status.started)

    def put(self, process: Process) -> Process:
        """Write this process in place of its namesake, to be restarted; return what was written."""
        stamped = replace(process, stamp=secrets.token_hex(8))
        self._edit(lambda desired: {**desired, process.name: stamped})
        return stamped

    def drop(self, names: set[str]) -> None:
        """Remove these from what is desired."""
        self._edit(lambda desired: {name: process for name, process in desired.items() if name not in names})

    def end(self) -> None:
        """Tell the supervisor to stop everything and to leave."""
        with self.layout.locked("desired"):
            write_desired(self.layout.desired, replace(read_desired(self.layout.desired), end=True))

    def _edit(self, change: Callable[[Mapping[str, Process]], Mapping[str, Process]]) -> Mapping[str, Process]:
        with self.layout.locked("desired"):
            desired = read_desired(self.layout.desired)
            processes = change({} if desired.end else desired.processes)
            write_desired(self.layout.desired, DesiredState(processes))
        return processes

    def supervise(self) -> None:
        """Start the supervisor unless it runs. Blocks; raises `MachineError` when it does not start."""
        if alive(self.layout):
            return
        with self.layout.locked("launch"):
            deadline = time.monotonic() + _START
            if not alive(self.layout):
                launch(self.layout)
            while not alive(self.layout):
                if time.monotonic() > deadline:
                    log = self.layout.log("supervisor")
                    raise MachineError("the supervisor did not start", hint=f"`{log}` may say why", log=str(log))
                time.sleep(0.01)
