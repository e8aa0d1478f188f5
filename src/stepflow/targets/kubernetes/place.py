"""One platform in one cluster, for as long as a command runs: who it is, where, and what must not be done twice."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from stepflow.targets import Site
from stepflow.targets.kubernetes.client import Client
from stepflow.targets.kubernetes.forward import Forwarder
from stepflow.targets.kubernetes.identity import Identity
from stepflow.targets.kubernetes.images import Supply
from stepflow.targets.kubernetes.manifests.model import Platform
from stepflow.targets.kubernetes.sight import Sight, look_running

_STEP = 0.5  # seconds between two looks


class Watch:
    """Looks at what runs, for all that wait for something: one look serves all who wait at that time."""

    def __init__(self, client: Client, namespace: str, number: str) -> None:
        self._client, self._namespace, self._number = client, namespace, number
        self._waiting: list[asyncio.Future[Sight]] = []
        self._looking: asyncio.Task[None] | None = None

    async def next(self) -> Sight:
        """Give a look that begins after this call, at most so often as is good for the cluster."""
        future: asyncio.Future[Sight] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await future

    async def _look(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            try:
                sight = await look_running(self._client, self._namespace, self._number)
            except Exception as error:  # noqa: BLE001 - whoever waits raises it, or would wait for ever
                for each in waiting:
                    if not each.done():
                        each.set_exception(error)
            else:
                for each in waiting:
                    if not each.done():
                        each.set_result(sight)
            await asyncio.sleep(_STEP)


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are made, and the locks by which steps that run at the same time make them once."""

    site: Site
    identity: Identity
    client: Client
    namespace: str
    forwarder: Forwarder
    watch: Watch
    supply: Supply
    _locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    @property
    def bare(self) -> Platform:
        """The platform as far as it is known whatever is declared."""
        return Platform(self.site.platform, self.namespace, {}, {}, {}, self.identity.id)

    def lock(self, name: str) -> asyncio.Lock:
        """Give the lock for making one thing."""
        return self._locks[name]
