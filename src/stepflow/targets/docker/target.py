"""The Docker target's face: see `stepflow.targets.contract.Target`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing

from stepflow.errors import UsageError
from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired, Progress, Site, Snapshot, discard
from stepflow.targets.docker.apply import apply, plan
from stepflow.targets.docker.compose import documents
from stepflow.targets.docker.host_ports import HostPorts
from stepflow.targets.docker.identity import DockerIdentity, require_bound
from stepflow.targets.docker.live import DockerLive
from stepflow.targets.docker.logs import build_log, lines
from stepflow.targets.docker.observed import EngineState, inspect, observe, things
from stepflow.targets.docker.remove import removals, remove
from stepflow.targets.docker.session import EngineSession
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.resolution import resolution
from stepflow.targets.secretfiles import require_given
from stepflow.workload import Declaration, Live


class DockerTarget:
    """Workloads as containers of one engine."""

    name = "docker"

    def __init__(self, site: Site) -> None:
        self._site = site
        self._engine = Engine()
        self._session: EngineSession | None = None

    async def observe(self) -> Snapshot:
        """Look at everything. Raises `MachineError` when there is a platform and the engine does not answer."""
        seen = await observe(self._engine, await self._known())
        return Snapshot(things(seen.copies), seen)

    async def require(self) -> None:
        """Raise `MachineError` unless the engine answers."""
        await self._engine.ask(lambda api: api.ping())

    def require_given(self, desired: Desired, snapshot: Snapshot) -> None:
        """Raise `PermanentError` for a secret that only a person knows and that is not in the folder of secrets."""
        del snapshot
        require_given(self._site.state.resolve() / "secrets", resolution(desired).workloads)

    def reconcile(self, desired: Desired, snapshot: Snapshot) -> tuple[Action, ...]:
        """Compare copy by copy; a snapshot that is not of an engine is taken for one of an engine that is empty."""
        seen = snapshot.detail if isinstance(snapshot.detail, EngineState) else EngineState()
        return plan(desired, seen, self._site.options)

    def removals(self, causes: Mapping[str, str], snapshot: Snapshot) -> tuple[Action, ...]:
        """Return the removal of each copy."""
        return removals(causes, snapshot.detail.copies) if isinstance(snapshot.detail, EngineState) else ()

    async def apply(self, desired: Desired, progress: Callable[[Progress], None]) -> tuple[Action, ...]:
        """Make the declaration true and wait until all of it is ready."""
        session = self._made()
        await require_bound(self._engine, session.identity)
        return await apply(session, desired, progress)

    async def remove(
        self,
        names: Collection[str] | None = None,
        *,
        data: bool = False,
        progress: Callable[[Progress], None] = discard,
    ) -> tuple[str, ...]:
        """Stop and remove; volumes, images, secrets and logs stay unless `data`."""
        if await self._known() is None:
            return ()
        removed = await remove(self._made(), names, progress, data=data)
        if names is None and data:
            self._session = None  # its id is gone
        return removed

    async def logs(self, name: str, *, follow: bool = False, tail: int = 100) -> AsyncIterator[str]:
        """Yield the lines; those of several copies are marked with the copy's name. Raises `UsageError`."""
        who = await self._known()
        found = await inspect(self._engine, who) if who else ()
        mine = [each for each in found if name in {each.record.owner, each.instance}]
        if who and mine:
            async with aclosing(lines(self._engine, who, mine, follow=follow, tail=tail)) as given:
                async for line in given:
                    yield line
            return
        file = build_log(who, name) if who else None
        if file is None:
            known = ", ".join(f"`{each}`" for each in sorted({each.record.owner for each in found}))
            raise UsageError(f"there is no log of `{name}`", hint=f"there are: {known or 'none'}")
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()[-tail:] if tail else ():
            yield line

    def live(self) -> Live:
        """Return the view that checks work with."""
        return DockerLive(self._site, self._engine)

    def documents(self, declarations: Sequence[Declaration]) -> Mapping[str, bytes]:
        """Return `compose.yaml` and what it needs: the same platform for `docker compose up`."""
        return documents(self._site.platform, declarations, self._site.options)

    async def _known(self) -> DockerIdentity | None:
        """Return the platform's identity, if it was ever made. Raises `UsageError` on another engine than its own."""
        who = DockerIdentity.known(self._site)
        if who is not None:
            await require_bound(self._engine, who)
        return who

    def _made(self) -> EngineSession:
        """Return the one value by which steps that run at the same time know of each other."""
        if self._session is None:
            self._session = EngineSession(
                self._site, DockerIdentity.of(self._site), self._engine, HostPorts(self._engine)
            )
        return self._session
