"""The running pipeline: one loader per stream, one refresher behind them."""

from __future__ import annotations

import asyncio
import logging
import time

from chassis.bus import Bus
from chassis.events import Event
from chassis.metrics import counter, histogram
from chassis.telemetry import past_span
from service import loading, source, transform
from service.loading import Arrived, Position
from service.source import LostError
from service.transform import Model, TestsFailedError
from service.warehouse import Warehouse

log = logging.getLogger(__name__)
STREAMS = ("users", "orders", "notifications")
PAUSE = 0.1  # seconds between refreshes, at least; and as long as the last one took
LOADED = counter("pipeline_events_total", "Events by what became of them.", ("stream", "outcome"))
REFRESH = histogram("pipeline_refresh_seconds", "How long the models took to build and test.")


class Pipeline:
    """Loads what arrives and refreshes the models after it."""

    def __init__(self, bus: Bus, warehouse: Warehouse, models: tuple[Model, ...]) -> None:
        """Assemble the pipeline; nothing runs yet."""
        self._bus = bus
        self._warehouse = warehouse
        self._models = models
        self._arrived = asyncio.Event()
        self.failures: tuple[str, ...] = ()
        """The tests that keep the last refresh from being published."""

    async def load(self, stream: str) -> None:
        """Load one stream until cancelled."""
        while True:
            known = await self._warehouse.call(lambda connection: loading.position(connection, stream))
            position = await source.where_to_begin(self._bus, stream, known)
            try:
                async for batch in source.batches(self._bus, position):
                    if batch:
                        await self._write(position, batch)
            except LostError as error:
                log.warning("%s: reading again from event %d on", error, position.sequence + 1)

    async def refresh(self) -> None:
        """Refresh the models after each load until cancelled."""
        self._arrived.set()
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            begun = time.monotonic()
            try:
                done = await self._warehouse.transaction(lambda connection: transform.refresh(connection, self._models))
            except TestsFailedError as error:
                if error.failures != self.failures:
                    log.error("the reports stay as they are, tests failed: %s", error)  # noqa: TRY400 - it is not a bug of ours
                self.failures = error.failures
            else:
                self.failures = ()
                REFRESH.observe(done.seconds)
            await asyncio.sleep(max(PAUSE, time.monotonic() - begun))

    async def _write(self, position: Position, batch: list[Arrived]) -> None:
        begun = time.monotonic()
        loaded = await self._warehouse.transaction(lambda connection: loading.load(connection, position, batch))
        for event in loaded.accepted:
            _trace(event, time.monotonic() - begun)
        LOADED.labels(position.stream, "loaded").inc(loaded.rows)
        LOADED.labels(position.stream, "duplicate").inc(loaded.duplicates)
        LOADED.labels(position.stream, "rejected").inc(loaded.rejects)
        self._arrived.set()


def _trace(event: Event, seconds: float) -> None:
    """Add a span for the loading of a batch to the trace of each of its events."""
    attributes = {
        "messaging.system": "nats",
        "messaging.destination.name": event.type,
        "messaging.message.id": event.id,
    }
    past_span(f"load {event.type}", seconds, attributes, kind="consumer", parent=event.traceparent or "")
