"""What the rest of the platform hears: domain events turned into the public events `orders.v1.*`.

The stream of an order is this service's own and may change; what is published here is a contract. Not every fact is
news.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from chassis.events import Event
from service.domain import events as e
from service.domain.order import Order

PUBLISHED = (
    "orders.v1.placed",
    "orders.v1.stock-reserved",
    "orders.v1.stock-rejected",
    "orders.v1.payment-authorized",
    "orders.v1.payment-declined",
    "orders.v1.confirmed",
    "orders.v1.cancelled",
)


def public_event(order: Order, event: e.OrderEvent) -> Event | None:
    """Give the public event for what just happened to `order`, or None where that is nobody else's business."""
    data: dict[str, Any]
    match event:
        case e.OrderPlaced():
            name, data = "placed", {**_goods(order), "placed_at": _rfc3339(event.placed_at)}
        case e.StockReserved():
            name, data = "stock-reserved", {"items": _items(order)}
        case e.StockRejected():
            name, data = "stock-rejected", {"sku": event.sku, "reason": event.reason}
        case e.PaymentAuthorised():
            name = "payment-authorized"
            data = {"payment_id": event.payment_id, "amount": event.amount.amount, "currency": event.amount.currency}
        case e.PaymentDeclined():
            name, data = "payment-declined", {"reason": event.reason}
        case e.OrderConfirmed():
            name, data = "confirmed", {**_goods(order), "confirmed_at": _rfc3339(event.confirmed_at)}
        case e.OrderCancelled():
            cancelled_at = _rfc3339(event.cancelled_at)
            name, data = "cancelled", {**_goods(order), "reason": event.reason, "cancelled_at": cancelled_at}
        case _:
            return None
    return Event(
        type=f"orders.v1.{name}", subject=order.id, data={"order_id": order.id, "user_id": order.user_id, **data}
    )


def _goods(order: Order) -> dict[str, Any]:
    return {"items": _items(order), "total": order.total.amount, "currency": order.total.currency}


def _items(order: Order) -> list[dict[str, Any]]:
    return [
        {"sku": line.sku, "name": line.name, "quantity": line.quantity, "unit_price": line.unit_price}
        for line in order.lines
    ]


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
