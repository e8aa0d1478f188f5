"""Writes entries of the registry, each change against the entry that it is based on."""

from __future__ import annotations

import json
from collections.abc import Callable

from nats.js.errors import KeyWrongLastSequenceError

from chassis.bus import Bus
from service.registry import Instance, decode, encode

BUCKET = "registry"
ATTEMPTS = 5


class Store:
    """The bucket `registry`, for clients that do not write to it themselves."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def put(self, instance: Instance) -> None:
        """Write an entry, whatever was there. It stays until it is removed."""
        bucket = await self._bus.key_value(BUCKET)
        await bucket.put(instance.key, encode(instance))

    async def remove(self, instance: Instance) -> None:
        """Remove an entry."""
        bucket = await self._bus.key_value(BUCKET)
        await bucket.delete(instance.key)

    async def change(self, key: str, change: Callable[[Instance], Instance | None]) -> None:
        """Change an entry; `None` leaves it as it is. A concurrent change is not overwritten.

        Raises `KeyNotFoundError` when it does not exist.
        """
        bucket = await self._bus.key_value(BUCKET)
        for attempt in range(ATTEMPTS):
            entry = await bucket.get(key)
            wanted = change(decode(json.loads(entry.value or b"{}"), 0, None))
            if wanted is None:
                return
            try:
                await bucket.update(key, encode(wanted), last=entry.revision)
            except KeyWrongLastSequenceError:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return
