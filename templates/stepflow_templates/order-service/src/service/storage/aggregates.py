"""Loads and stores aggregates: replay, snapshots, optimistic concurrency."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import asyncpg
from pydantic import TypeAdapter

from chassis.database import Database
from chassis.metrics import counter
from service.domain import order as orders
from service.domain import product as products
from service.domain.events import DomainEvent
from service.domain.order import Order
from service.domain.product import Product
from service.storage import event_store
from service.storage.event_store import VersionConflict

SNAPSHOT_EVERY = 50  # events
ATTEMPTS = 5  # of a transaction that lost against another

State = TypeVar("State", Order, Product)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Kind(Generic[State]):
    """One kind of aggregate: what its streams are called, how its events fold, how its snapshots look.

    Raise `schema` when the state's fields change: older snapshots are then ignored.
    """

    name: str
    evolve: Callable[[State | None, Any], State]
    state: TypeAdapter[State]
    schema: int = 1

    def stream(self, identity: str) -> str:
        """Name the stream of one aggregate."""
        return f"{self.name}-{identity}"


ORDER: Kind[Order] = Kind("order", orders.evolve, TypeAdapter(Order), schema=2)
PRODUCT: Kind[Product] = Kind("product", products.evolve, TypeAdapter(Product), schema=2)
TEST_PRODUCT: Kind[Product] = Kind("test-product", products.evolve, TypeAdapter(Product), schema=2)
"""A copy of a product, made when a test order first takes one, and deleted with the last test order."""


async def load(connection: asyncpg.Connection, kind: Kind[State], identity: str) -> State | None:
    """Load an aggregate from its last snapshot and the events after it; None if it does not exist."""
    stream = kind.stream(identity)
    row = await connection.fetchrow(
        "SELECT version, state FROM snapshots WHERE stream = $1 AND schema = $2", stream, kind.schema
    )
    state = kind.state.validate_python(row["state"]) if row else None
    return await _replayed(connection, kind, stream, state)


async def load_as_of(connection: asyncpg.Connection, kind: Kind[State], identity: str, version: int) -> State | None:
    """Return the aggregate as it was at a version, at most its current one; None if it does not exist."""
    return await _replayed(connection, kind, kind.stream(identity), None, until=version)


async def save(
    connection: asyncpg.Connection, kind: Kind[State], identity: str, state: State | None, events: Sequence[DomainEvent]
) -> tuple[State, int]:
    """Append what was decided about `state` (None: it is new); return the state after it, and the last position.

    Raises `VersionConflict` when the stream moved on since `state` was loaded.
    """
    before = state.version if state else 0
    for event in events:
        state = kind.evolve(state, event)
    after = cast("State", state)
    position = await event_store.append(connection, kind.stream(identity), before, events, test=after.test)
    if after.version // SNAPSHOT_EVERY > before // SNAPSHOT_EVERY:
        await _snapshot(connection, kind, identity, after)
    return after, position


async def retried(database: Database, work: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
    """Run `work` in a transaction, retried with fresh reads after a lost race; in the end `VersionConflict`."""
    for _ in range(ATTEMPTS - 1):
        try:
            async with database.transaction() as connection:
                return await work(connection)
        except VersionConflict:
            counter("event_store_conflicts_total", "Appends that lost against another writer.").inc()
    async with database.transaction() as connection:
        return await work(connection)


async def _replayed(
    connection: asyncpg.Connection, kind: Kind[State], stream: str, state: State | None, until: int | None = None
) -> State | None:
    after = state.version if state else 0
    for recorded in await event_store.read_stream(connection, stream, after=after, until=until):
        state = kind.evolve(state, recorded.event)
    return state


async def _snapshot(connection: asyncpg.Connection, kind: Kind[State], identity: str, state: State) -> None:
    await connection.execute(
        "INSERT INTO snapshots (stream, version, schema, state) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (stream) DO UPDATE SET version = $2, schema = $3, state = $4",
        *(kind.stream(identity), state.version, kind.schema, kind.state.dump_python(state, mode="json")),
    )
