"""Keeps the read models close behind the event store, measures the lag, and rebuilds them on demand.

The events of a batch and the position after them are written in one transaction: after a crash nothing is applied
twice or left out. Of several replicas the one that locks the position's row does the batch.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import asyncpg

from chassis.database import Database
from chassis.metrics import gauge
from service.storage import event_store
from service.storage.signals import EVENTS, PROJECTED, Signals
from service.storage.views import Projection

BATCH = 200  # events
POLL = 2.0  # seconds, in case a wake-up was lost


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a read model is behind."""

    events: int
    seconds: float  # age of the oldest event that it does not contain


async def keep_up(database: Database, projection: Projection, signals: Signals) -> None:
    """Project events as they arrive, until cancelled."""
    with signals.on(EVENTS) as wake:
        while True:
            wake.clear()
            while await catch_up(database, projection):
                pass
            await observe(database, projection.name)
            await wake.wait(POLL)


async def catch_up(database: Database, projection: Projection, batch: int = BATCH) -> int:
    """Project the next batch of events; return their number: 0 at the end, or while another replica does it."""
    async with database.transaction() as connection:
        position = await connection.fetchval(
            "SELECT position FROM projections WHERE name = $1 FOR UPDATE SKIP LOCKED", projection.name
        )
        if position is None:
            return 0
        return await _project(connection, projection, position, batch)


async def rebuild(database: Database, projection: Projection) -> int:
    """Empty the read model and project all events again; return their number. Until then readers see the old one."""
    async with database.transaction() as connection:
        await connection.fetchval("SELECT position FROM projections WHERE name = $1 FOR UPDATE", projection.name)
        await connection.execute(projection.clear)
        total = position = 0
        while count := await _project(connection, projection, position, BATCH):
            total += count
            position = await _position(connection, projection.name)
        return total


async def observe(database: Database, name: str) -> Lag:
    """Measure the lag, and show it in the metrics."""
    async with database.acquire() as connection:
        row = await connection.fetchrow(
            "SELECT count(*) AS events, coalesce(extract(epoch FROM now() - min(recorded_at)), 0)::float8 AS seconds"
            " FROM events WHERE position > (SELECT position FROM projections WHERE name = $1)",
            name,
        )
    lag = Lag(row["events"], max(0.0, row["seconds"]))
    gauge("projection_lag_events", "Events not yet in a read model.", ("projection",)).labels(name).set(lag.events)
    gauge("projection_lag_seconds", "Age of the oldest such event.", ("projection",)).labels(name).set(lag.seconds)
    return lag


async def wait_for(database: Database, name: str, position: int, signals: Signals, patience: float) -> bool:
    """Wait until a read model contains the events up to `position`; False if it does not within `patience` seconds."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + patience
    with signals.on(PROJECTED) as wake:
        while True:
            wake.clear()
            async with database.acquire() as connection:
                if await _position(connection, name) >= position:
                    return True
            if clock() >= deadline:
                return False
            await wake.wait(min(0.1, deadline - clock()))


async def _project(connection: asyncpg.Connection, projection: Projection, after: int, limit: int) -> int:
    events = await event_store.read_all(connection, after=after, limit=limit)
    for recorded in events:
        await projection.apply(connection, recorded)
    if events:
        await connection.execute(
            "UPDATE projections SET position = $2 WHERE name = $1", projection.name, events[-1].position
        )
        await connection.execute("SELECT pg_notify($1, $2)", PROJECTED, projection.name)
    return len(events)


async def _position(connection: asyncpg.Connection, name: str) -> int:
    position: int = await connection.fetchval("SELECT position FROM projections WHERE name = $1", name)
    return position
