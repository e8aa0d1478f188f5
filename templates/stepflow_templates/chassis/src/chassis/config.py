"""Live configuration: the KV bucket `config`, followed while the service runs and applied without a restart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from chassis.bus import Bus
from chassis.mirror import BucketMirror

BUCKET = "config"


class LiveConfig:
    """The platform's shared settings, as JSON values under dotted keys such as `issuers.users`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._mirror = BucketMirror(bus, BUCKET)

    def get(self, key: str) -> Any:  # noqa: ANN401 - any JSON
        """Return the current value; None where there is none (yet)."""
        return self._mirror.values.get(key)

    def under(self, prefix: str) -> dict[str, Any]:
        """Return all current values whose keys start with `prefix`, by key."""
        return {key: value for key, value in self._mirror.values.items() if key.startswith(prefix)}

    def on_change(self, prefix: str, listener: Callable[[str, Any], Awaitable[None]]) -> None:
        """Call `listener(key, value or None)` for keys that start with `prefix`: at the start, then on each change."""
        self._mirror.listen(prefix, listener)

    async def put(self, key: str, value: Any) -> None:  # noqa: ANN401 - any JSON
        """Write a value for everyone; nothing is written when it is there already."""
        bucket = await self._bus.key_value(BUCKET)
        if self.get(key) != value:
            await bucket.put(key, json.dumps(value, sort_keys=True).encode())

    async def delete(self, key: str) -> None:
        """Remove a value for everyone."""
        await (await self._bus.key_value(BUCKET)).delete(key)

    async def wait_loaded(self, timeout: float) -> None:  # noqa: ASYNC109 - callers have a deadline in seconds
        """Wait until the current values are known; raises `TimeoutError`."""
        await asyncio.wait_for(self._mirror.loaded.wait(), timeout)

    async def run(self) -> None:
        """Follow the bucket until cancelled."""
        await self._mirror.run()
