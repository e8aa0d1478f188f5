"""What a step of the playbook `order-service` hands off."""

from __future__ import annotations

from stepflow.handoff import Endpoint, ServiceHandoff

ORDERS = Endpoint("order-service")
PAYMENTS = Endpoint("payment-provider")
SOLD_OUT = "OUT-OF-STOCK"
"""The product that never has stock."""
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
