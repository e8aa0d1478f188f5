"""The local steps of the saga: each happens in the transaction that also advances the saga."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import asyncpg

from service.domain.order import Order
from service.domain.product import OutOfStock, Product
from service.domain.saga import Outcome, Refused, Saga, Step, Succeeded
from service.ordering import record
from service.storage import sagas
from service.storage.aggregates import ORDER, PRODUCT, TEST_PRODUCT, Kind, load, save
from service.storage.sagas import Claim


async def take_locally(connection: asyncpg.Connection, claim: Claim) -> Claim:
    """Take the saga's step, if it is one of this module's, and advance the saga.

    Needs a transaction; raises `LeaseLost`, and `VersionConflict` when another order took from the same stock.
    """
    held = await sagas.hold(connection, claim)
    saga = held.saga.begin()
    if saga.step is not held.saga.step:
        return await sagas.proceed(connection, held, saga)
    outcome = await STEPS[saga.step](connection, await order_of(connection, held), saga)
    return await sagas.proceed(connection, held, saga.advance(outcome))


async def order_of(connection: asyncpg.Connection, held: Claim) -> Order:
    """Load the order of a saga."""
    order = await load(connection, ORDER, held.saga.order_id)
    assert order is not None, "a saga begins in the transaction that places its order"
    return order


async def _reserve(connection: asyncpg.Connection, order: Order, saga: Saga) -> Outcome:
    """Reserve all lines, or none: the savepoint releases what was taken before the missing line."""
    del saga
    try:
        async with connection.transaction():
            for line in sorted(order.lines, key=lambda line: line.sku):
                kind, product = await _shelf(connection, order, line.sku)
                await save(connection, kind, line.sku, product, product.reserve(order.id, line.quantity))
    except OutOfStock as none_left:
        reason = f"out of stock: {none_left.sku}"
        await record(connection, order.id, order, order.reject_stock(none_left.sku, reason))
        return Refused(reason)
    await record(connection, order.id, order, order.reserve_stock())
    return Succeeded()


async def _shelf(connection: asyncpg.Connection, order: Order, sku: str) -> tuple[Kind[Product], Product]:
    """Return what the order takes a product from: the shop's stock, or for a test order a copy of it."""
    taken = await load(connection, TEST_PRODUCT, sku) if order.test else None
    if taken:
        return TEST_PRODUCT, taken
    product = await load(connection, PRODUCT, sku)
    assert product is not None, "only what is in the catalogue can be ordered, and it stays there"
    if not order.test:
        return PRODUCT, product
    copy, _ = await save(connection, TEST_PRODUCT, sku, None, product.for_tests())
    return TEST_PRODUCT, copy


async def _confirm(connection: asyncpg.Connection, order: Order, saga: Saga) -> Outcome:
    del saga
    await record(connection, order.id, order, order.confirm(datetime.now(UTC)))
    return Succeeded()


async def _release(connection: asyncpg.Connection, order: Order, saga: Saga) -> Outcome:
    del saga
    if not (released := order.release_stock()):
        return Succeeded()
    for line in sorted(order.lines, key=lambda line: line.sku):
        kind, product = await _shelf(connection, order, line.sku)
        await save(connection, kind, line.sku, product, product.release(order.id, line.quantity))
    await record(connection, order.id, order, released)
    return Succeeded()


async def _cancel(connection: asyncpg.Connection, order: Order, saga: Saga) -> Outcome:
    reason = saga.cancel_reason or "cancelled"
    await record(connection, order.id, order, order.cancel(reason, datetime.now(UTC)))
    return Succeeded()


STEPS: Mapping[Step, Callable[[asyncpg.Connection, Order, Saga], Awaitable[Outcome]]] = {
    Step.RESERVE_STOCK: _reserve,
    Step.CONFIRM: _confirm,
    Step.RELEASE_STOCK: _release,
    Step.CANCEL: _cancel,
}
