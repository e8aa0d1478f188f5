"""A live copy of a NATS KV bucket in memory: it survives reconnects and notifies listeners of changes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from nats.errors import Error as NatsError
from nats.js.kv import KV_DEL, KV_PURGE, KeyValue

from chassis.bus import Bus

log = logging.getLogger(__name__)
Listener = Callable[[str, Any], Awaitable[None]]
"""Called with a key and its new JSON value, None when it is gone."""
RETRY = 0.5  # seconds
POLL = 1.0  # seconds between checks that the connection is still the same


class BucketMirror:
    """Follows one bucket. Values are JSON; one that is not is ignored with a warning."""

    def __init__(self, bus: Bus, bucket: str) -> None:
        self._bus = bus
        self.bucket = bucket
        self.values: dict[str, Any] = {}
        self.loaded = asyncio.Event()
        self._listeners: list[tuple[str, Listener]] = []

    def listen(self, prefix: str, listener: Listener) -> None:
        """Call `listener` for each change of a key that starts with `prefix`, and for what exists at the start."""
        self._listeners.append((prefix, listener))

    async def run(self) -> None:
        """Follow the bucket until cancelled; starts over after a reconnect, because ordered consumers may be gone."""
        while True:
            try:
                await self._follow(await self._bus.key_value(self.bucket))
            except (NatsError, OSError, TimeoutError) as error:
                log.warning("cannot follow the bucket `%s`: %s", self.bucket, error or type(error).__name__)
                await asyncio.sleep(RETRY)

    async def _follow(self, bucket: KeyValue) -> None:
        generation = self._bus.generation
        watcher = await bucket.watchall()
        unseen = set(self.values)
        try:
            while generation == self._bus.generation:
                try:
                    entry = await watcher.updates(timeout=POLL)  # type: ignore[no-untyped-call]  # untyped in nats-py
                except TimeoutError:
                    continue
                if entry is None:
                    for key in unseen:
                        await self._set(key, None)
                    unseen = set()
                    self.loaded.set()
                    continue
                unseen.discard(entry.key)
                gone = entry.operation in {KV_DEL, KV_PURGE}
                await self._set(entry.key, None if gone else self._read(entry.key, entry.value))
        finally:
            if self._bus.connected:
                await watcher.stop()  # type: ignore[no-untyped-call]  # untyped in nats-py

    def _read(self, key: str, value: bytes | None) -> Any:  # noqa: ANN401 - any JSON
        try:
            return json.loads(value or b"null")
        except ValueError:
            log.warning("the value of `%s` in the bucket `%s` is not JSON: ignored", key, self.bucket)
            return None

    async def _set(self, key: str, value: Any) -> None:  # noqa: ANN401 - any JSON
        if self.values.get(key) == value:
            return
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value
        for prefix, listener in self._listeners:
            if key.startswith(prefix):
                try:
                    await listener(key, value)
                except Exception:
                    log.exception("a listener failed for `%s` in the bucket `%s`", key, self.bucket)
