"""The control plane's current state, and how others wait for it to change."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from service.envoy.documents import Documents, documents
from service.envoy.model import Gateway
from service.policy import Policy, read_policy
from service.registry import Registry, changed
from service.services import Service, known_services

log = logging.getLogger(__name__)
GRACE = 5.0  # seconds; a lease lasts 3 s, a heartbeat comes each second, reconnecting takes up to 2 s
LOOK_EVERY = 0.5  # seconds


class State:
    """The registry, the policy, and the documents that follow from them; each a value that is replaced as a whole."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        closing: Callable[[], bool] = lambda: False,
        connection: Callable[[], int] = lambda: 1,
    ) -> None:
        self.registry = Registry()
        self.services: Mapping[str, Service] = {}
        self.policy = Policy()
        self._closing = closing
        self._connection = connection
        self._known_connection = (connection(), float("-inf"))  # which it is, and since when
        self._doubtful: dict[str, Any] = {}
        self._gateway = gateway
        self._config: dict[str, Any] = {}
        self._problems: tuple[str, ...] = ()
        self._news = asyncio.Condition()
        self.documents: Documents = documents({}, self.policy, gateway)

    async def registry_changed(self, key: str, entry: Any) -> None:  # noqa: ANN401 - any JSON
        """Apply an entry of the bucket `registry`; None: it left. One that cannot be read counts as gone.

        After an outage of NATS leases have run out although their owners are healthy, and some report unready only
        because of the outage: for a while bad news is held back.
        """
        bad = entry is None or (isinstance(entry, dict) and entry.get("status") == "critical")
        if bad and self._settling():
            self._doubtful[key] = entry
            return
        self._doubtful.pop(key, None)
        await self._take(key, entry)

    async def settle(self) -> None:
        """Apply the bad news that still holds some time after the connection came back. Runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if not self._settling():
                doubtful, self._doubtful = self._doubtful, {}
                for key, entry in doubtful.items():
                    await self._take(key, entry)

    async def _take(self, key: str, entry: Any) -> None:  # noqa: ANN401 - any JSON
        index = max(self.registry.index + 1, int(time.time() * 1000))
        before = self.registry
        try:
            self.registry = changed(before, key, entry, index)
        except ValueError as error:
            log.warning("ignored the registry's entry `%s`: %s", key, error)
            self.registry = changed(before, key, None, index)
        if self.registry.index != before.index:
            self.services = known_services(self.registry, self.services)
            await self._refresh()

    async def config_changed(self, key: str, value: Any) -> None:  # noqa: ANN401 - any JSON
        """Apply a value of the bucket `config`; None: it was removed."""
        self._config = {**self._config, key: value} if value is not None else self._without(key)
        self.policy, problems = read_policy(self._config)
        for problem in problems:
            if problem not in self._problems:
                log.warning("ignored a part of the configuration: %s", problem)
        self._problems = problems
        await self._refresh()

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:  # noqa: ASYNC109 - held in seconds
        """Wait until a condition on this state holds; false when that took too long (seconds).

        A process that is closing releases all waiters: its own entry leaves the registry, which is a change.
        """
        try:
            async with asyncio.timeout(timeout), self._news:
                await self._news.wait_for(lambda: self._closing() or condition())
        except TimeoutError:
            return False
        return condition()

    def _settling(self) -> bool:
        """Return whether the connection to NATS is a new one; the first is not, as no instance was known before."""
        now, (known, since) = time.monotonic(), self._known_connection
        if self._connection() != known:
            first = known == 0
            since = float("-inf") if first else now
            self._known_connection = (self._connection(), since)
        return now - since < GRACE

    def _without(self, key: str) -> dict[str, Any]:
        return {name: value for name, value in self._config.items() if name != key}

    async def _refresh(self) -> None:
        self.documents = documents(self.services, self.policy, self._gateway)
        async with self._news:
            self._news.notify_all()
