"""Read models are nothing but the events: rebuilt at any time, they are the same to the byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import pytest
from domain_samples import NOON
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.database import Database
from chassis.testing.waiting import eventually
from service.domain import events as e
from service.domain.money import Money
from service.domain.order import IllegalTransition, Order
from service.domain.product import OutOfStock
from service.storage import projections, views
from service.storage.aggregates import ORDER, PRODUCT, load, save
from service.storage.signals import Signals

DECISIONS = {
    "reserve": lambda o: o.reserve_stock(),
    "reject": lambda o: o.reject_stock("MUG", "none left"),
    "pay": lambda o: o.authorise_payment(f"p-{o.id}"),
    "decline": lambda o: o.decline_payment("no"),
    "confirm": lambda o: o.confirm(NOON),
    "ask": lambda o: o.request_cancellation("why not", NOON),
    "void": lambda o: o.void_payment(),
    "release": lambda o: o.release_stock(),
    "cancel": lambda o: o.cancel("why not", NOON),
}
ACTIONS = st.one_of(
    st.tuples(st.just("place"), st.integers(0, 3)),
    st.tuples(st.sampled_from(sorted(DECISIONS)), st.integers(0, 3)),
    st.tuples(st.just("take"), st.integers(1, 4)),
    st.tuples(st.just("project"), st.integers(1, 5)),
)


async def dump(connection: asyncpg.Connection) -> bytes:
    """Both read models as bytes."""
    rows = [
        *await connection.fetch("SELECT row_to_json(o)::text AS row FROM order_view o ORDER BY order_id"),
        *await connection.fetch("SELECT row_to_json(p)::text AS row FROM product_view p ORDER BY sku"),
    ]
    return "\n".join(row["row"] for row in rows).encode()


async def act(database: Database, action: str, number: int) -> None:
    """Do what is legal; what the domain refuses is left."""
    if action == "project":
        for projection in views.ALL:
            await projections.catch_up(database, projection, batch=number)
        return
    async with database.transaction() as connection:
        if action == "take":
            mug = await load(connection, PRODUCT, "MUG")
            assert mug is not None
            try:
                await save(connection, PRODUCT, "MUG", mug, mug.reserve("o", number))
            except OutOfStock:
                return
            return
        identity = str(number)
        order = await load(connection, ORDER, identity)
        if events := _decided(order, action, identity):
            await save(connection, ORDER, identity, order, events)


def _decided(order: Order | None, action: str, identity: str) -> Sequence[e.OrderEvent]:
    if order is None:
        lines = (e.Line("MUG", "A mug", 1, 900),)
        placed = e.OrderPlaced(identity, f"user {identity}", lines, Money(900, "EUR"), NOON)
        return (placed,) if action == "place" else ()
    try:
        return DECISIONS[action](order) if action in DECISIONS else ()
    except IllegalTransition:
        return ()


async def _empty(database: Database) -> None:
    """Begin a store of its own for each example: only here are events ever removed."""
    async with database.transaction() as connection:
        await connection.execute("TRUNCATE events, snapshots, order_view, product_view")
        await connection.execute("UPDATE projections SET position = 0")
        listed = (e.ProductListed("MUG", "A mug", "", Money(900, "EUR")), e.StockReceived(9))
        await save(connection, PRODUCT, "MUG", None, listed)


@pytest.mark.parametrize("examples", [60])
def test_rebuilt_read_models_equal_the_live_ones_to_the_byte(
    database_url: str, examples: int, postgres_session: str
) -> None:
    """Any history, projected live in batches of any size, gives what a rebuild gives."""
    del postgres_session
    with asyncio.Runner() as runner:
        database = runner.run(_opened(database_url))

        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(ACTIONS, min_size=1, max_size=25))
        def check(actions: list[tuple[str, int]]) -> None:
            runner.run(_live_equals_rebuilt(database, actions))

        check()
        runner.run(database.close())


async def _opened(url: str) -> Database:
    from order_fixtures import MIGRATIONS  # noqa: PLC0415 - fixtures are registered before they are imported
    from pydantic import SecretStr  # noqa: PLC0415 - likewise

    database = Database(SecretStr(url), MIGRATIONS)
    await database.open()
    return database


async def _live_equals_rebuilt(database: Database, actions: list[tuple[str, int]]) -> None:
    await _empty(database)
    for action, number in actions:
        await act(database, action, number)
    for projection in views.ALL:
        while await projections.catch_up(database, projection):
            continue
    async with database.acquire() as connection:
        live = await dump(connection)
    for projection in views.ALL:
        await projections.rebuild(database, projection)
        assert (await projections.observe(database, projection.name)).events == 0
    async with database.acquire() as connection:
        assert await dump(connection) == live


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run tasks as long as the block lasts."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_reader_waits_for_the_write_it_asks_for_and_not_for_ever(database: Database) -> None:
    await _empty(database)
    signals = Signals(database)
    async with database.acquire() as connection:
        position = await connection.fetchval("SELECT max(position) FROM events")
    wait = partial(projections.wait_for, database, "products", position, signals)
    assert not await wait(0.05)
    async with running(projections.keep_up(database, views.ProductView(), signals)):
        assert await wait(60)


async def test_new_events_are_projected_when_they_are_told_of(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without polling in between."""
    monkeypatch.setattr(projections, "POLL", 60.0)
    await _empty(database)
    signals = Signals(database)

    async def caught_up() -> bool:
        lags = [await projections.observe(database, each.name) for each in views.ALL]
        return sum(lag.events for lag in lags) == 0

    async with running(signals.run(), *(projections.keep_up(database, each, signals) for each in views.ALL)):
        await eventually(caught_up)
        for quantity in (1, 2):
            await act(database, "take", quantity)
            await eventually(caught_up)


async def test_listener_whose_connection_is_lost_says_so_to_be_started_again(database: Database) -> None:
    signals = Signals(database)
    listening = asyncio.create_task(signals.run())

    async def kill_it() -> bool:
        async with database.acquire() as connection:
            return bool(
                await connection.fetchval(
                    "SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
                )
            )

    await eventually(kill_it)
    with pytest.raises(ConnectionError, match="the listening connection to PostgreSQL was lost"):
        await asyncio.wait_for(listening, 60)


async def test_two_replicas_project_every_event_once(database: Database) -> None:
    await _empty(database)
    for _ in range(9):
        await act(database, "take", 1)

    async def work() -> None:
        while (await projections.observe(database, "products")).events:
            await projections.catch_up(database, views.ProductView(), batch=1)

    await asyncio.gather(work(), work())
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT stock FROM product_view") == 0


async def test_lag_counts_events_and_their_age(database: Database) -> None:
    await _empty(database)
    lag = await projections.observe(database, "orders")
    assert lag.events == 2
    assert lag.seconds >= 0
