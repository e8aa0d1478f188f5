"""The outbox: events are written in the transaction of the change they report, and published afterwards.

At least once, in the order of writing; repetitions carry the same `Nats-Msg-Id` and are dropped by the stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import asyncpg

from chassis.bus import Bus
from chassis.database import Database
from chassis.events.event import CONTENT_TYPE, Event
from chassis.metrics import counter
from chassis.telemetry import span

log = logging.getLogger(__name__)
LOCK = 0x6F757462  # "outb": the replica that holds this advisory lock publishes
BATCH = 100
POLL = 1.0  # seconds between polls, in case a notification is lost

PUBLISHED = counter("events_published_total", "Events that a stream has stored.", ("type",))


class Outbox:
    """Where a service puts its events."""

    @staticmethod
    async def put(connection: asyncpg.Connection, *events: Event) -> None:
        """Add events to the connection's transaction: they are published if, and soon after, it commits."""
        rows = [(event.id, event.type, event.traceparent, event.encode()) for event in events]
        await connection.executemany(
            "INSERT INTO outbox (event_id, type, traceparent, payload) VALUES ($1, $2, $3, $4)", rows
        )
        await connection.execute("SELECT pg_notify('outbox', '')")


class Relay:
    """Publishes what is in the outbox; only one of several replicas does, so that the order is kept."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus

    async def run(self) -> None:
        """Publish until cancelled; raises what the database or the bus raise, to be restarted."""
        while True:
            async with self._database.acquire() as connection:
                if await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                    await self._lead(connection)
            await asyncio.sleep(POLL)

    async def _lead(self, connection: asyncpg.Connection) -> None:
        wake = asyncio.Event()

        def on_notify(*_: object) -> None:
            wake.set()

        await connection.add_listener("outbox", on_notify)
        try:
            while True:
                wake.clear()
                rows = await connection.fetch(
                    "SELECT id, event_id, type, traceparent, payload FROM outbox ORDER BY id LIMIT $1", BATCH
                )
                await self._publish(connection, rows)
                if not rows:
                    await _wait(wake)
        finally:
            if not connection.is_closed():
                await connection.remove_listener("outbox", on_notify)

    async def _publish(self, connection: asyncpg.Connection, rows: Sequence[asyncpg.Record]) -> None:
        done = []
        try:
            for row in rows:
                attributes = {"messaging.system": "nats", "messaging.destination.name": row["type"]}
                with span(f"publish {row['type']}", "producer", parent=row["traceparent"], attributes=attributes):
                    await self._bus.publish(
                        row["type"],
                        row["payload"],
                        message_id=row["event_id"],
                        headers={"Content-Type": CONTENT_TYPE},
                    )
                PUBLISHED.labels(row["type"]).inc()
                done.append(row["id"])
        finally:
            if done:
                await connection.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", done)


async def _wait(wake: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(wake.wait(), POLL)
    except TimeoutError:
        return
