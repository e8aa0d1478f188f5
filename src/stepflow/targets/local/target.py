"""The local target: see `stepflow.targets.contract.Target`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from stepflow.errors import UsageError
from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired, Progress, Site, Snapshot, discard
from stepflow.targets.converge import Locks, converge
from stepflow.targets.identity import Identity
from stepflow.targets.local import cluster, environment, ports
from stepflow.targets.local.desired import units
from stepflow.targets.local.execute import Executor, choose_first_ports
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.live import LocalLive
from stepflow.targets.local.logs import follow as follow_logs
from stepflow.targets.local.logs import tail as tail_of
from stepflow.targets.local.observed import LocalState, local_state, observe
from stepflow.targets.local.reconcile import START, Where, reconcile
from stepflow.targets.local.remove import removals, remove
from stepflow.targets.local.store import Store
from stepflow.targets.resolution import resolution
from stepflow.targets.secretfiles import require_given
from stepflow.workload import Declaration, Live


@dataclass(frozen=True, slots=True)
class LocalIdentity(Identity):
    """One platform on this machine: what a copy of its state directory is told apart by."""

    target: ClassVar[str] = "local"

    @staticmethod
    def listing(state: Path) -> str:
        """Return the command that lists the processes of a state directory."""
        return f"pgrep -f {state}"


class LocalTarget:
    """Workloads as processes of this machine.

    Everything but `reconcile` raises `PermanentError` in a copy of a state directory that still exists: the pids and
    addresses in it are those of the other platform.
    """

    name = "local"

    def __init__(self, site: Site) -> None:
        self._site = replace(site, out=site.out.resolve())
        self._layout = Layout(site.state.resolve())
        self._store = Store(self._layout)
        self._locks = Locks()

    async def observe(self) -> Snapshot:
        """Observe everything, whether the supervisor runs or not."""
        LocalIdentity.known(self._site)
        return observe(self._store)

    async def require(self) -> None:
        """Always succeeds: which server programs are needed is only known from a declaration."""

    def require_given(self, desired: Desired, snapshot: Snapshot) -> None:
        """Raise `PermanentError` for a secret that only a person knows and that is not in the folder of secrets."""
        del snapshot
        require_given(self._layout.secrets, resolution(desired).workloads)

    def reconcile(self, desired: Desired, snapshot: Snapshot) -> tuple[Action, ...]:
        """Compare every unit with what was observed."""
        now: LocalState = snapshot.detail or LocalState()
        resolved = resolution(desired)
        held = {name for process in now.processes.values() for name in process.neighbours}
        known = frozenset(name for each in resolved.workloads for name in each.neighbours) | held
        where = Where(self._site, self._layout, known, resolved.numbers)
        actions: list[Action] = [START] if now.processes and not now.supervised else []
        for unit in units(resolved):
            found = reconcile(unit, now, where)
            if unit.python:
                files = environment.rendered(desired.tree, unit.context)
                actions += environment.build(
                    unit.name, environment.choose(self._layout, files, now.environments), found
                )
            actions += found
        return tuple(actions)

    def removals(self, causes: Mapping[str, str], snapshot: Snapshot) -> tuple[Action, ...]:
        """Return the removal of each process."""
        return removals(causes, snapshot.detail.processes.values()) if snapshot.detail else ()

    async def apply(self, desired: Desired, progress: Callable[[Progress], None]) -> tuple[Action, ...]:
        """Create what is desired and wait until all of it is ready."""
        LocalIdentity.of(self._site)
        self._layout.prepare()
        resolved = resolution(desired)
        require_given(self._layout.secrets, resolved.workloads)
        with self._layout.locked("launch"):
            now = local_state(self._store)
            ports.forget_taken(self._layout, now.taken)
        ordered = units(resolved)
        choose_first_ports(self._store, ordered, progress)
        started = (START,) if now.processes and not now.supervised else ()
        if started:
            await asyncio.to_thread(self._store.supervise)
        known = frozenset(name for each in resolved.workloads for name in each.neighbours)
        executor = Executor(self._site, self._store, self._locks, known, resolved.numbers)
        done = await converge(executor, ordered, self._locks, progress)
        with self._layout.locked("postgres"):
            cluster.record(self._layout)
        return started + done

    async def remove(
        self,
        names: Collection[str] | None = None,
        *,
        data: bool = False,
        progress: Callable[[Progress], None] = discard,
    ) -> tuple[str, ...]:
        """Stop and remove; secrets, ports, logs and data stay unless `data`."""
        LocalIdentity.known(self._site)
        return await remove(self._store, names, progress, data=data)

    async def logs(self, name: str, *, follow: bool = False, tail: int = 100) -> AsyncIterator[str]:
        """Return the lines; those of several copies are marked with the copy's name. Raises `UsageError`."""
        copies = {p.name: self._layout.log(p.name) for p in self._store.desired().values() if name in (p.owner, p.name)}
        copies = copies or {f.stem: f for f in (self._layout.log(name), *self._layout.logs.glob(f"{name}-[0-9]*.log"))}
        copies = {copy: log for copy, log in copies.items() if log.exists()}
        if not copies:
            known = ", ".join(f"`{each}`" for each in sorted({p.owner for p in self._store.desired().values()}))
            raise UsageError(f"there is no log of `{name}`", hint=f"there are: {known or 'none'}")
        for copy, log in copies.items():
            for line in tail_of(log, tail):
                yield line if len(copies) == 1 else f"{copy} | {line}"
        if follow:
            async for copy, line in follow_logs(copies):
                yield line if len(copies) == 1 else f"{copy} | {line}"

    def live(self) -> Live:
        """Return the view that checks work with."""
        return LocalLive(self._site.out, self._store)

    def documents(self, declarations: Sequence[Declaration]) -> Mapping[str, bytes]:
        """Return no documents: no other program could start what runs here."""
        del declarations
        return {}
