"""The read models: what the API shows, one row per order and per product, built only from events.

Times come from the events, never from the clock: the same events give the same bytes, today and after a rebuild.
"""

from __future__ import annotations

from typing import Protocol

import asyncpg
from pydantic import TypeAdapter

from service.domain import events as e
from service.storage.event_store import Recorded

LINES = TypeAdapter(tuple[e.Line, ...])


class Projection(Protocol):
    """One read model: its name, how it is emptied, what each event does to it. Events of other streams do nothing."""

    name: str
    clear: str

    async def apply(self, connection: asyncpg.Connection, recorded: Recorded) -> None:
        """Apply the next event."""


class OrderView:
    """Table `order_view`."""

    name = "orders"
    clear = "DELETE FROM order_view"

    async def apply(self, connection: asyncpg.Connection, recorded: Recorded) -> None:
        """Insert a new order; bring status, reason, payment and version of a known one up to date."""
        if isinstance(recorded.event, e.OrderPlaced):
            await self._insert(connection, recorded, recorded.event)
        elif recorded.stream.startswith("order-"):
            await self._update(connection, recorded)

    async def _insert(self, connection: asyncpg.Connection, recorded: Recorded, placed: e.OrderPlaced) -> None:
        await connection.execute(
            "INSERT INTO order_view (order_id, user_id, status, version, items, total, currency, placed_at,"
            " placed_position, test) VALUES ($1, $2, 'pending', $3, $4, $5, $6, $7, $8, $9)",
            *(placed.order_id, placed.user_id, recorded.version, LINES.dump_python(placed.lines, mode="json")),
            *(placed.total.amount, placed.total.currency, placed.placed_at, recorded.position, placed.test),
        )

    async def _update(self, connection: asyncpg.Connection, recorded: Recorded) -> None:
        status, reason, paid, unpaid = None, None, None, False
        match recorded.event:
            case e.PaymentAuthorised(payment_id=payment_id):
                paid = payment_id
            case e.PaymentVoided():
                unpaid = True
            case e.OrderConfirmed():
                status = "confirmed"
            case e.CancellationRequested(reason=why):
                reason = why
            case e.OrderCancelled(reason=why):
                status, reason = "cancelled", why
        await connection.execute(
            "UPDATE order_view SET version = $2, status = coalesce($3, status), reason = coalesce($4, reason),"
            " payment_id = CASE WHEN $6 THEN NULL ELSE coalesce($5, payment_id) END WHERE order_id = $1",
            *(recorded.stream.removeprefix("order-"), recorded.version, status, reason, paid, unpaid),
        )


class ProductView:
    """Table `product_view`."""

    name = "products"
    clear = "DELETE FROM product_view"

    async def apply(self, connection: asyncpg.Connection, recorded: Recorded) -> None:
        """Insert a new product; add to or take from the stock of a known one. The shelf of test orders is not shown."""
        event, sku = recorded.event, recorded.stream.removeprefix("product-")
        if not recorded.stream.startswith("product-"):
            return
        match event:
            case e.ProductListed():
                await connection.execute(
                    "INSERT INTO product_view (sku, name, description, price, currency, stock)"
                    " VALUES ($1, $2, $3, $4, $5, 0)",
                    *(event.sku, event.name, event.description, event.price.amount, event.price.currency),
                )
            case e.StockReceived() | e.UnitsReleased() | e.UnitsReserved():
                change = -event.quantity if isinstance(event, e.UnitsReserved) else event.quantity
                await connection.execute("UPDATE product_view SET stock = stock + $2 WHERE sku = $1", sku, change)


ALL: tuple[Projection, ...] = (OrderView(), ProductView())
