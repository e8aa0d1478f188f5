"""Orders and products that the tests begin with."""

from __future__ import annotations

from datetime import UTC, datetime

from service.domain import events as e
from service.domain import order as orders
from service.domain.money import Money
from service.domain.order import Order

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
LINES = (e.Line("TEAPOT", "A teapot", 2, 1950), e.Line("MUG", "A mug", 1, 900))
TOTAL = Money(4800, "EUR")
PLACED = e.OrderPlaced("o-1", "u-1", LINES, TOTAL, NOON)


def order_after(*events: e.OrderEvent) -> Order:
    order = orders.evolve(None, PLACED)
    for event in events:
        order = orders.evolve(order, event)
    return order


PAID = (e.StockReserved(), e.PaymentAuthorised("p-1", TOTAL))
CONFIRMED = (*PAID, e.OrderConfirmed(NOON))
CANCELLED = (e.OrderCancelled("declined", NOON),)
