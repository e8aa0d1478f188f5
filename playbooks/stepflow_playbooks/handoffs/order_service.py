"""What a step of the playbook `order-service` hands off."""

from __future__ import annotations

from stepflow.handoff import Endpoint, ServiceHandoff

ORDERS = Endpoint("order-service")
PAYMENTS = Endpoint("payment-provider")
SOLD_OUT, COUNTED = "OUT-OF-STOCK", "SAGA-HARDBACK"
RESERVED = frozenset({SOLD_OUT, COUNTED})
"""Products that other checks must not order: one has no stock, and a check compares the stock of the other."""
EVENTS = tuple(
    f"orders.v1.{name}"
    for name in (
        "placed",
        "stock-reserved",
        "stock-rejected",
        "payment-authorized",
        "payment-declined",
        "confirmed",
        "cancelled",
    )
)


class OrderHandoff(ServiceHandoff):
    """The order service, the NATS JetStream streams that it publishes to, and the description of its events."""

    service: str = "order-service"
    endpoint: Endpoint = ORDERS
    routes: tuple[str, ...] = ("/api/orders", "/api/products")
    publishes: tuple[str, ...] = EVENTS
    streams: tuple[str, ...] = ("orders",)
    asyncapi: Endpoint = Endpoint("order-service", path="/asyncapi.json")
    currency: str = "EUR"
