"""How events are serialised: a stable name, a schema version, JSON; and how old ones are read today (upcasting).

To change an event: raise its schema version here, and add to `UPCASTERS` the function that turns the JSON of the
version before into the new one. What is stored is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter

from service.domain import events as e

Json = dict[str, Any]

NAMES: Mapping[str, tuple[type[Any], int]] = {
    "order-placed": (e.OrderPlaced, 3),
    "stock-reserved": (e.StockReserved, 1),
    "stock-rejected": (e.StockRejected, 1),
    "payment-authorised": (e.PaymentAuthorised, 1),
    "payment-declined": (e.PaymentDeclined, 1),
    "order-confirmed": (e.OrderConfirmed, 1),
    "cancellation-requested": (e.CancellationRequested, 1),
    "payment-voided": (e.PaymentVoided, 1),
    "stock-released": (e.StockReleased, 1),
    "order-cancelled": (e.OrderCancelled, 1),
    "product-listed": (e.ProductListed, 2),
    "stock-received": (e.StockReceived, 1),
    "units-reserved": (e.UnitsReserved, 1),
    "units-released": (e.UnitsReleased, 1),
}
_NAME_OF = {cls: name for name, (cls, _) in NAMES.items()}
_ADAPTERS: Mapping[str, TypeAdapter[Any]] = {name: TypeAdapter(cls) for name, (cls, _) in NAMES.items()}


def _placed_with_currency(data: Json) -> Json:
    """Version 1 had a bare number as total: the shop sold only in euros."""
    return {**data, "total": {"amount": data["total"], "currency": "EUR"}}


def _no_test(data: Json) -> Json:
    """Before there were test orders, everything was the shop's."""
    return {**data, "test": False}


UPCASTERS: Mapping[tuple[str, int], Callable[[Json], Json]] = {
    ("order-placed", 1): _placed_with_currency,
    ("order-placed", 2): _no_test,
    ("product-listed", 1): _no_test,
}
"""(name, schema version) -> the function that upcasts it to the next version."""


class UnreadableEvent(Exception):  # noqa: N818 - says what it is
    """The store holds an event that this code cannot read: written by a newer version of it."""


def encode(event: e.DomainEvent) -> tuple[str, int, Json]:
    """Return an event's name, current schema version and JSON."""
    name = _NAME_OF[type(event)]
    data: Json = _ADAPTERS[name].dump_python(event, mode="json")
    return name, NAMES[name][1], data


def upcast(name: str, schema: int, data: Json) -> Json:
    """Upcast the JSON of an event to the current schema version; raises `UnreadableEvent` for a newer one."""
    if name not in NAMES or schema > NAMES[name][1]:
        raise UnreadableEvent(f"event `{name}` of schema version {schema} is unknown here: run the newer version")
    for version in range(schema, NAMES[name][1]):
        data = UPCASTERS[name, version](data)
    return data


def decode(name: str, schema: int, data: Json) -> e.DomainEvent:
    """Read an event of any schema version up to today's; raises `UnreadableEvent` otherwise."""
    lifted = upcast(name, schema, data)
    event: e.DomainEvent = _ADAPTERS[name].validate_python(lifted)
    return event
