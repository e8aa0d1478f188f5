"""What the step passes on."""

from __future__ import annotations

from stepflow.handoff import Endpoint, ServiceHandoff

ORDERS = Endpoint("order-service")
PAYMENTS = Endpoint("payment-provider")
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
    """The order service, the streams of NATS JetStream that it publishes to, and the description of its events."""

    service: str = "order-service"
    endpoint: Endpoint = ORDERS
    routes: tuple[str, ...] = ("/api/orders", "/api/products")
    publishes: tuple[str, ...] = EVENTS
    streams: tuple[str, ...] = ("orders",)
    asyncapi: Endpoint = Endpoint("order-service", path="/asyncapi.json")
    currency: str = "EUR"
