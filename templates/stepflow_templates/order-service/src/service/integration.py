"""Turns domain events into the public events of `published`.

The stream of an order is this service's own and may change; what is published is a contract. Not every fact is
published.
"""

from __future__ import annotations

from typing import Any

from chassis.events import Event
from service import published
from service.domain import events as e
from service.domain.order import Order

TYPES = {model: name for name, model in published.PUBLISHED.items()}


def public_event(order: Order, event: e.OrderEvent) -> Event | None:
    """Return the public event for what just happened to `order`, or None where it stays internal."""
    data = _data(order, event)
    if data is None:
        return None
    return Event(type=TYPES[type(data)], subject=order.id, data=data.model_dump(mode="json"), test=order.test)


def _data(order: Order, event: e.OrderEvent) -> published.About | None:
    about: dict[str, Any] = {"order_id": order.id, "user_id": order.user_id}
    items = [published.Item.model_validate(line) for line in order.lines]
    goods = about | {"items": items, "total": order.total.amount, "currency": order.total.currency}
    data: published.About | None = None
    match event:
        case e.OrderPlaced():
            data = published.Placed(**goods, placed_at=event.placed_at)
        case e.StockReserved():
            data = published.StockReserved(**about, items=items)
        case e.StockRejected():
            data = published.StockRejected(**about, sku=event.sku, reason=event.reason)
        case e.PaymentAuthorised(payment_id=payment_id, amount=money):
            data = published.PaymentAuthorized(
                **about, payment_id=payment_id, amount=money.amount, currency=money.currency
            )
        case e.PaymentDeclined():
            data = published.PaymentDeclined(**about, reason=event.reason)
        case e.OrderConfirmed():
            data = published.Confirmed(**goods, confirmed_at=event.confirmed_at)
        case e.OrderCancelled():
            data = published.Cancelled(**goods, reason=event.reason, cancelled_at=event.cancelled_at)
    return data
