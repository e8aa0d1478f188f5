"""The service in the registry: an entry of the KV bucket `registry` that lives as long as its heartbeat."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from nats.errors import Error as NatsError

from chassis.bus import Bus

log = logging.getLogger(__name__)
BUCKET = "registry"
BEAT = 1.0  # seconds
TTL = 3  # seconds that an entry outlives its last heartbeat


class Registration:
    """One instance's entry. Its `status` is `passing` while the instance is ready, else `critical`."""

    def __init__(self, bus: Bus, entry: dict[str, Any], ready: Callable[[], Awaitable[bool]]) -> None:
        self._bus = bus
        self._entry = entry
        self._ready = ready
        self._left = False

    @property
    def key(self) -> str:
        """Name the entry: `<service>.<instance>`."""
        return f"{self._entry['service']}.{self._entry['instance']}"

    async def run(self) -> None:
        """Send heartbeats until cancelled or deregistered. A restored connection triggers a heartbeat at once."""
        await self._bus.key_value(BUCKET)
        while not self._left:
            try:
                await self._beat()
            except (NatsError, OSError, TimeoutError) as error:
                log.warning("no heartbeat to the registry: %s", error or type(error).__name__)
            await asyncio.sleep(BEAT)

    async def _beat(self) -> None:
        js = await self._bus.jetstream()  # first, so that the status is that of after an outage, not of before
        status = "passing" if await self._ready() else "critical"
        if not self._left:
            value = json.dumps({**self._entry, "status": status}).encode()
            await js.publish(f"$KV.{BUCKET}.{self.key}", value, msg_ttl=TTL, timeout=2)

    async def leave(self) -> None:
        """Remove the entry at once; without a connection its TTL removes it."""
        self._left = True
        if not self._bus.connected:
            return
        try:
            await (await self._bus.key_value(BUCKET)).delete(self.key)
        except (NatsError, OSError, TimeoutError) as error:
            log.warning("could not leave the registry: %s", error or type(error).__name__)
