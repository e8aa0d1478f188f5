"""One platform in one cluster, for as long as a command runs: its identity, namespace, and locks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

from stepflow.targets.contract import Site
from stepflow.targets.converge import Locks
from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.api.forward import Forwarder
from stepflow.targets.kubernetes.loading.images import Supply
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.targets.kubernetes.state.secrets import texts
from stepflow.targets.kubernetes.state.snapshot import ClusterState, look_everywhere, look_running

_STEP = 0.5  # seconds between two looks at what is waited for
_PAUSE = 0.05  # seconds between two looks at what is compared


class Watch:
    """Shares snapshots: one serves all callers that wait at that time."""

    def __init__(self, look: Callable[[], Awaitable[ClusterState]], pause: float) -> None:
        self._look_once, self._pause = look, pause
        self._waiting: list[asyncio.Future[ClusterState]] = []
        self._looking: asyncio.Task[None] | None = None

    async def next(self) -> ClusterState:
        """Return a snapshot that begins after this call, limited to a rate that spares the cluster."""
        future: asyncio.Future[ClusterState] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await future

    async def _look(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            try:
                seen = await self._look_once()
            except Exception as error:  # noqa: BLE001 - those who wait raise it, or would wait for ever
                for each in waiting:
                    if not each.done():
                        each.set_exception(error)
            else:
                for each in waiting:
                    if not each.done():
                        each.set_result(seen)
            await asyncio.sleep(self._pause)


@dataclass(frozen=True, slots=True)
class ClusterSession:
    """Where objects are, and the locks by which steps that run at the same time create them once."""

    site: Site
    identity: KubernetesIdentity
    client: Client
    namespace: str
    forwarder: Forwarder
    supply: Supply
    running: Watch  # of what runs, and what the cluster says of it, for those who wait
    changing: Watch  # of the kinds that change by themselves, for a comparison
    everything: Watch
    locks: Locks = field(default_factory=Locks)

    @classmethod
    def of(cls, site: Site, who: KubernetesIdentity, client: Client, namespace: str) -> Self:
        """Return the session of a platform."""

        async def everything() -> ClusterState:
            return await look_everywhere(client, namespace, who.id, texts(who.secrets))

        async def running() -> ClusterState:
            return await look_running(client, namespace, who.id)

        async def changing() -> ClusterState:
            return await look_running(client, namespace, who.id, templates=True)

        forwarder, supply = Forwarder(client, namespace), Supply(client, who, site)
        watches = Watch(running, _STEP), Watch(changing, _PAUSE), Watch(everything, _PAUSE)
        return cls(site, who, client, namespace, forwarder, supply, *watches)
