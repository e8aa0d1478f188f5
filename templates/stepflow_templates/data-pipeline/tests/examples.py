"""Events as the other services publish them."""

from datetime import UTC, datetime
from typing import Any

from chassis.events import Event
from service.loading import Arrived, Position

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
USERS, ORDERS = Position("users", "then", 0), Position("orders", "then", 0)
NOTIFICATIONS = Position("notifications", "then", 0)


def event(kind: str, data: dict[str, Any], *, at: datetime = AT, traceparent: str | None = None) -> Event:
    subject = str(data.get("order_id") or data.get("user_id"))
    return Event(kind, subject, data, time=at, source="tests", traceparent=traceparent)


def order(stage: str, number: int = 1, *, day: str = "2026-03-01", price: int = 1250, sku: str = "TEA") -> Event:
    """An order of two pieces, at one of its stages."""
    items = [{"sku": sku, "name": sku.title(), "quantity": 2, "unit_price": price}]
    data: dict[str, Any] = {"order_id": f"o{number}", "user_id": "u1"}
    at = f"{day}T12:00:00Z"
    whole = {"items": items, "total": 2 * price, "currency": "EUR"}
    stages: dict[str, dict[str, Any]] = {
        "placed": whole | {"placed_at": at},
        "confirmed": whole | {"confirmed_at": at},
        "cancelled": whole | {"cancelled_at": at, "reason": "payment declined"},
        "payment-authorized": {"payment_id": "p1", "amount": 2 * price, "currency": "EUR"},
        "stock-reserved": {"items": items},
    }
    return event(f"orders.v1.{stage}", data | stages[stage])


def arrived(*events: Event, first: int = 1) -> list[Arrived]:
    return [Arrived(number, each.type, each.encode()) for number, each in enumerate(events, first)]
