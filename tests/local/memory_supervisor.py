"""A platform of the local target whose supervisor, processes and PostgreSQL sessions are in memory.

All else is real: the target, its executor, the files in its state directory, ports and locks. The supervisor reads the
file of the desired state and writes that of the observed one, as the real one does; what it starts is ready at once.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired, Site, discard
from stepflow.targets.local import cluster, databases, execute
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.pair import take_lock
from stepflow.targets.local.processes import started
from stepflow.targets.local.spec import (
    ObservedState,
    Process,
    ProcessStatus,
    State,
    read_desired,
    write_observed,
)
from stepflow.targets.local.store import Store
from stepflow.targets.local.target import LocalTarget

SETTINGS = ("postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf")
SELF = (os.getpid(), started(os.getpid()))


class Supervisor:
    """Makes what runs match the desired state, one turn each time it is asked for; keeps what it did in order."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.running: dict[str, Process] = {}
        self.statuses: dict[str, ProcessStatus] = {}
        self.did: list[tuple[str, str]] = []
        self._lock: int | None = None
        self._turn = threading.Lock()

    def turn(self) -> None:
        """Start the supervisor unless it runs, and take all steps towards what is desired."""
        with self._turn:
            if self._lock is None:
                self._lock = take_lock(self.layout)
            desired = read_desired(self.layout.desired)
            processes = {} if desired.end else desired.processes
            for name in sorted(self.running.keys() - processes.keys()):
                self.did.append(("stopped", name))
                del self.running[name], self.statuses[name]
            for name, process in processes.items():
                if name not in self.running or self.running[name].stamp != process.stamp:
                    self.did.append(("started", name))
                    self._start(process)
                elif self.statuses[name].state == "starting":
                    self.put(name, "ready")
            self._write()

    def put(self, name: str, state: State) -> None:
        """Have a process be in a state."""
        stamp = self.running[name].stamp
        alive = ProcessStatus(stamp, state, *SELF, detail=f"it is {state}", proven=True)
        self.statuses[name] = replace(alive, pid=0) if state == "failed" else alive
        self._write()

    def killed(self) -> None:
        """End the supervisor and all that it started, as a restart of the machine does."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None
        self.statuses = {name: replace(each, state="starting", pid=0) for name, each in self.statuses.items()}
        self._write()

    def _start(self, process: Process) -> None:
        assert Path(process.cwd).is_dir()
        if process.preparation and not Path(process.preparation.final).exists():
            final = Path(process.preparation.final)
            (final / "base").mkdir(parents=True)
            for name in SETTINGS:
                (final / name).write_text(f"# {name}\n")
        if process.name == "nats":  # it makes its own directory
            (self.layout.data / "nats").mkdir(exist_ok=True)
        self.running[process.name] = process
        self.put(process.name, "ready")

    def _write(self) -> None:
        write_observed(self.layout.observed, ObservedState(self.statuses, *SELF[:1]))


class Session:
    """A session of PostgreSQL's administrator: databases are folders, as in a real cluster."""

    def __init__(self, base: Path, names: dict[str, str], did: list[tuple[str, str]]) -> None:
        self._base = base
        self._names = names
        self._did = did

    async def execute(self, statement: str) -> None:
        if statement.startswith("CREATE DATABASE"):
            name = statement.split('"')[1]
            self._names[name] = str(10000 + len(list(self._base.parents[2].rglob("*"))) + len(self._did))
            (self._base / self._names[name]).mkdir()
            self._did.append(("made", name))
        elif statement.startswith("ALTER ROLE"):
            self._did.append(("let in", statement.split('"')[1]))

    async def fetchval(self, statement: str, name: str) -> object:
        number = self._names.get(name, "")
        there = bool(number) and (self._base / number).is_dir()
        if "oid" in statement:
            return number if there else None
        return 1 if "pg_database" in statement and there else None

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Platform:
    """A platform under test, and what was done to it."""

    site: Site
    target: LocalTarget
    supervisor: Supervisor

    @property
    def layout(self) -> Layout:
        return self.supervisor.layout

    async def plan(self, desired: Desired) -> tuple[Action, ...]:
        return self.target.reconcile(desired, await self.target.observe())

    async def run(self, desired: Desired) -> tuple[Action, ...]:
        return await self.target.apply(desired, discard)


@contextmanager
def platform(folder: Path) -> Iterator[Platform]:
    """Make a platform in a folder, which is removed in the end."""
    layout = Layout(folder / "state")
    supervisor, names = Supervisor(layout), dict[str, str]()

    async def connect(*_: object) -> Session:
        return Session(layout.cluster / "base", names, supervisor.did)

    site = Site("shop", layout.state, folder / "out")
    site.out.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Store, "supervise", lambda _: supervisor.turn())
        patched.setattr(databases, "_connect", connect)
        patched.setattr(cluster, "_set", lambda *_: None)
        patched.setattr(execute, "STEP", 0)
        layout.prepare()
        yield Platform(site, LocalTarget(site), supervisor)
        if supervisor._lock is not None:
            os.close(supervisor._lock)
    shutil.rmtree(folder)
