"""What a customer can do: place an order, and cancel it.

Each is one transaction: events, public events and saga together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid5

import asyncpg

from chassis.database import Database
from chassis.events import Outbox
from chassis.ids import uuid7
from chassis.telemetry import current_traceparent
from service.domain import events as e
from service.domain.order import Order
from service.domain.pricing import price
from service.domain.product import Product
from service.integration import public_event
from service.storage import sagas
from service.storage.aggregates import ORDER, PRODUCT, load, save
from service.storage.event_store import VersionConflict, head

KEYS = UUID("6f1c4c5e-5d0b-4f0e-9f57-0d1f3a9b7c21")
"""The namespace in which idempotency keys become ids of orders (RFC 9562 §5.5)."""


class KeyReused(Exception):  # noqa: N818 - says what happened
    """The idempotency key belongs to an order with other contents."""


class NoSuchOrder(Exception):  # noqa: N818 - says what it is
    """There is no order of this id."""


@dataclass(frozen=True, slots=True)
class Written:
    """The order after a change, and the global position from which on the read models know of it."""

    order: Order
    position: int


async def place(
    database: Database,
    user_id: str,
    wanted: Mapping[str, int],
    payment_token: str,
    key: str | None = None,
    *,
    test: bool = False,
) -> Written:
    """Place an order for a selection (SKU to quantity) at current prices; its saga starts at once.

    That of a test account (`test`) takes nothing from the shop's stock and no money.

    With an idempotency `key` of the user's, a repetition returns the existing order, whatever was killed in between:
    the order's id follows from the key. Raises `UnknownProducts`, `KeyReused`.
    """
    order_id = str(uuid7() if key is None else uuid5(KEYS, f"{user_id} {key}"))
    try:
        async with database.transaction() as connection:
            lines, total = price(wanted, await _catalogue(connection, wanted))
            placed = e.OrderPlaced(order_id, user_id, lines, total, datetime.now(UTC), test)
            written = await record(connection, order_id, None, (placed,))
            await sagas.start(connection, order_id, payment_token, current_traceparent())
            return written
    except VersionConflict:
        return await _placed_before(database, order_id, wanted)


async def cancel(database: Database, order_id: str, reason: str, expected_version: int | None = None) -> Written:
    """Request the cancellation of an order; its saga turns back and undoes what was done.

    Raises `NoSuchOrder`, `IllegalTransition`, and `VersionConflict` when the order is not at `expected_version`.
    """
    async with database.transaction() as connection:
        saga = await sagas.lock(connection, order_id)
        order = await load(connection, ORDER, order_id)
        if saga is None or order is None:
            raise NoSuchOrder(order_id)
        if expected_version is not None and expected_version != order.version:
            raise VersionConflict(ORDER.stream(order_id), expected_version)
        decided = order.request_cancellation(reason, datetime.now(UTC))
        await sagas.rewrite(connection, saga.request_cancellation(reason))
        return await record(connection, order_id, order, decided)


async def record(
    connection: asyncpg.Connection, order_id: str, order: Order | None, events: Sequence[e.OrderEvent]
) -> Written:
    """Append what was decided about an order, and put its public events into the outbox. Not empty."""
    after, position = await save(connection, ORDER, order_id, order, events)
    public = [told for event in events if (told := public_event(after, event))]
    if public:
        await Outbox.put(connection, *public)
    return Written(after, position)


async def _placed_before(database: Database, order_id: str, wanted: Mapping[str, int]) -> Written:
    async with database.acquire() as connection:
        order = await load(connection, ORDER, order_id)
        assert order is not None, "its stream is not empty: that was the conflict"
        if {line.sku: line.quantity for line in order.lines} != wanted:
            raise KeyReused(order_id)
        return Written(order, await head(connection))


async def _catalogue(connection: asyncpg.Connection, wanted: Mapping[str, int]) -> dict[str, Product]:
    found = {sku: await load(connection, PRODUCT, sku) for sku in wanted}
    return {sku: product for sku, product in found.items() if product is not None}
