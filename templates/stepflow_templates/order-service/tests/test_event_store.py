"""The event store keeps facts, in order, and lets only one writer win."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest
from domain_samples import LINES, NOON, PLACED, TOTAL

from chassis.database import Database
from service.domain import events as e
from service.domain.money import Money
from service.storage import codec, event_store
from service.storage.aggregates import ORDER, PRODUCT, SNAPSHOT_EVERY, load, load_as_of, retried, save
from service.storage.event_store import VersionConflict

ALL_EVENTS = (
    PLACED,
    e.StockReserved(),
    e.StockRejected("MUG", "none left"),
    e.PaymentAuthorised("p-1", TOTAL),
    e.PaymentDeclined("no"),
    e.OrderConfirmed(NOON),
    e.CancellationRequested("why not", NOON),
    e.PaymentVoided("p-1"),
    e.StockReleased(),
    e.OrderCancelled("why not", NOON),
    e.ProductListed("MUG", "A mug", "Holds tea.", Money(900, "EUR")),
    e.StockReceived(3),
    e.UnitsReserved("o-1", 2),
    e.UnitsReleased("o-1", 2),
)


def test_every_kind_of_event_survives_being_written_and_read() -> None:
    assert {type(event) for event in ALL_EVENTS} == {cls for cls, _ in codec.NAMES.values()}
    for event in ALL_EVENTS:
        name, schema, data = codec.encode(event)
        assert codec.decode(name, schema, json.loads(json.dumps(data))) == event


async def test_order_placed_before_there_were_currencies_is_read_as_euros(database: Database) -> None:
    """A row of schema version 1, as it was written then, is upcast when it is read; the row stays as it is."""
    old = codec.encode(PLACED)[2] | {"total": 4800}
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO events (stream, version, type, schema, data, recorded_at)"
            " VALUES ('order-o-1', 1, 'order-placed', 1, $1, now())",
            old,
        )
        order = await load(connection, ORDER, "o-1")
        assert order is not None
        assert (order.total, order.lines) == (Money(4800, "EUR"), LINES)
        assert await connection.fetchval("SELECT data->'total' FROM events") == 4800


def test_event_of_a_newer_version_says_what_to_do() -> None:
    message = "event `order-placed` of schema version 4 is unknown here: run the newer version"
    with pytest.raises(codec.UnreadableEvent, match=message):
        codec.decode("order-placed", 4, {})


async def test_append_at_the_wrong_version_is_refused(database: Database) -> None:
    async with database.transaction() as connection:
        await save(connection, ORDER, "o-1", None, (PLACED,))
    with pytest.raises(VersionConflict, match="`order-o-1` is not at version 0"):
        async with database.transaction() as connection:
            await event_store.append(connection, "order-o-1", 0, (PLACED,))


async def test_of_twenty_writers_at_once_each_gets_its_own_version(database: Database) -> None:
    """The loser reads again and decides again: the stock is right in the end."""
    listed = (e.ProductListed("MUG", "A mug", "", Money(900, "EUR")), e.StockReceived(5))
    async with database.transaction() as connection:
        await save(connection, PRODUCT, "MUG", None, listed)

    async def reserve(number: int) -> bool:
        async def work(connection: asyncpg.Connection) -> None:
            product = await load(connection, PRODUCT, "MUG")
            assert product is not None
            if product.available:
                await save(connection, PRODUCT, "MUG", product, product.reserve(str(number), 1))

        try:
            await retried(database, work)
        except VersionConflict:
            return False
        return True

    while not all(await asyncio.gather(*(reserve(number) for number in range(20)))):
        continue
    async with database.acquire() as connection:
        product = await load(connection, PRODUCT, "MUG")
        versions = await connection.fetch("SELECT version FROM events ORDER BY position")
    assert product is not None
    assert product.available == 0
    assert [row["version"] for row in versions] == list(range(1, 8))


async def test_events_cannot_be_changed_or_deleted(database: Database) -> None:
    async with database.transaction() as connection:
        await save(connection, ORDER, "o-1", None, (PLACED,))
    for statement in ("UPDATE events SET type = 'x'", "DELETE FROM events"):
        async with database.acquire() as connection:
            with pytest.raises(asyncpg.RaiseError, match="events are facts: they are never changed or deleted"):
                await connection.execute(statement)


async def test_snapshot_gives_the_same_state_as_replaying_everything(database: Database) -> None:
    listed = e.ProductListed("MUG", "A mug", "", Money(900, "EUR"))
    received = [e.StockReceived(number) for number in range(1, SNAPSHOT_EVERY + 10)]
    async with database.transaction() as connection:
        product, _ = await save(connection, PRODUCT, "MUG", None, (listed, *received))
        await save(connection, PRODUCT, "MUG", product, product.reserve("o-1", 7))
        assert await connection.fetchval("SELECT version FROM snapshots") == len(received) + 1
        with_snapshot = await load(connection, PRODUCT, "MUG")
        await connection.execute("DELETE FROM snapshots")
        assert await load(connection, PRODUCT, "MUG") == with_snapshot


async def test_order_can_be_seen_as_it_was_at_any_version(database: Database) -> None:
    async with database.transaction() as connection:
        await save(connection, ORDER, "o-1", None, (PLACED, e.StockReserved(), e.StockReleased()))
        reserved = [(await load_as_of(connection, ORDER, "o-1", version)) for version in (1, 2, 3)]
    assert [order.stock_reserved for order in reserved if order] == [False, True, False]


async def test_event_becomes_visible_only_after_all_before_it(database: Database) -> None:
    """A reader that saw position n never finds a new event at a lower position later."""
    async with database.transaction() as first:
        await event_store.append(first, "order-a", 0, (PLACED,))
        second = asyncio.create_task(_append(database, "order-b"))
        async with database.acquire() as reader:
            await asyncio.wait({second}, timeout=0.1)
            assert await event_store.head(reader) == 0
    await second
    async with database.acquire() as reader:
        assert [each.stream for each in await event_store.read_all(reader, after=0, limit=10)] == ["order-a", "order-b"]


async def _append(database: Database, stream: str) -> None:
    async with database.transaction() as connection:
        await event_store.append(connection, stream, 0, (PLACED,))
