"""Published events of orders: exactly once in effect, in order, in the trace of the customer's request."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import jsonschema
import nats
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from order_fixtures import OpenShop, Shop

from chassis.testing.waiting import eventually
from service.published import PUBLISHED

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
COMMON = {"order_id", "user_id"}
GOODS = COMMON | {"items", "total", "currency"}


async def published(nats_url: str, order_id: str, last: str) -> list[dict[str, Any]]:
    """All events of an order, when the last one is out and the stream has no more."""
    connection = await nats.connect(nats_url)
    js = connection.jetstream()

    async def subscribed() -> JetStreamContext.PushSubscription | None:
        with suppress(NotFoundError):  # there is no stream yet
            return await js.subscribe("orders.>", ordered_consumer=True)
        return None

    mine: list[dict[str, Any]] = []
    try:
        subscription = await eventually(subscribed)
        assert subscription
        pending: int | None = None
        while not mine or mine[-1]["type"] != last or pending:
            message = await subscription.next_msg(timeout=60)
            pending, event = message.metadata.num_pending, json.loads(message.data)
            mine += [event] if event["subject"] == order_id else []
    finally:
        await connection.close()
    return mine


async def test_confirmed_order_is_told_step_by_step_in_one_trace(shop: Shop, nats_url: str) -> None:
    shop.http.headers["traceparent"] = f"00-{TRACE}-00f067aa0ba902b7-01"
    placed = await shop.order(("RUBBER-DUCK", 2))
    events = await published(nats_url, placed["id"], "orders.v1.confirmed")
    assert [event["type"] for event in events] == [
        "orders.v1.placed",
        "orders.v1.stock-reserved",
        "orders.v1.payment-authorized",
        "orders.v1.confirmed",
    ]
    assert {event["traceparent"].split("-")[1] for event in events} == {TRACE}
    assert {(event["specversion"], event["source"]) for event in events} == {("1.0", "order-service")}
    assert [set(event["data"]) for event in events] == [
        GOODS | {"placed_at"},
        COMMON | {"items"},
        COMMON | {"payment_id", "amount", "currency"},
        GOODS | {"confirmed_at"},
    ]
    for event in events:
        jsonschema.validate(event["data"], PUBLISHED[event["type"]].model_json_schema())
    line = {"sku": "RUBBER-DUCK", "name": "Rubber duck, senior", "quantity": 2, "unit_price": 1290}
    assert events[0]["data"]["items"] == [line]
    assert (events[3]["data"]["user_id"], events[3]["data"]["total"]) == ("ada", 2580)
    assert events[3]["data"]["confirmed_at"].endswith("Z")


async def test_payment_provider_is_asked_in_the_trace_of_the_request_that_placed_the_order(shop: Shop) -> None:
    """Also by a worker that did not handle that request."""
    shop.http.headers["traceparent"] = f"00-{TRACE}-00f067aa0ba902b7-01"
    placed = await shop.order(("RUBBER-DUCK", 1))
    await shop.settled(placed["id"])
    spans = shop.app.state.service.telemetry.spans.take(10_000)
    names = {span.name for span in spans if span.context and format(span.context.trace_id, "032x") == TRACE}
    assert {"POST /api/orders", "saga reserve-stock", "saga authorise-payment", "POST payment-provider"} <= names


async def test_declined_and_rejected_orders_say_why(shop: Shop, nats_url: str) -> None:
    declined = await shop.order(("RUBBER-DUCK", 1), pay="tok_declined")
    rejected = await shop.order(("OUT-OF-STOCK", 1))
    events = await published(nats_url, declined["id"], "orders.v1.cancelled")
    assert [event["type"].removeprefix("orders.v1.") for event in events] == [
        "placed",
        "stock-reserved",
        "payment-declined",
        "cancelled",
    ]
    assert events[2]["data"]["reason"] == events[3]["data"]["reason"] == "payment declined: the card was declined"
    assert set(events[3]["data"]) == GOODS | {"reason", "cancelled_at"}
    events += await published(nats_url, rejected["id"], "orders.v1.cancelled")
    for event in events:
        jsonschema.validate(event["data"], PUBLISHED[event["type"]].model_json_schema())
    events = events[4:]
    assert events[1]["type"] == "orders.v1.stock-rejected"
    assert (events[1]["data"]["sku"], events[1]["data"]["reason"]) == ("OUT-OF-STOCK", "out of stock: OUT-OF-STOCK")


async def test_events_written_while_no_one_could_publish_come_out_later(open_shop: OpenShop, nats_url: str) -> None:
    """A service that stops right after the order was placed leaves nothing behind: the next one tells of it."""
    async with open_shop(saga_workers=0) as shop:
        placed = await shop.order(("RUBBER-DUCK", 1))
    async with open_shop() as shop:
        await shop.settled(placed["id"])
        events = await published(nats_url, placed["id"], "orders.v1.confirmed")
    assert events[0]["type"] == "orders.v1.placed"
    assert len({event["id"] for event in events}) == len(events) == 4


async def test_every_published_event_is_described(shop: Shop) -> None:
    """The document is open to everybody, and says that this service sends them."""
    del shop.http.headers["Authorization"]
    document = (await shop.http.get("/asyncapi.json")).json()
    sent = {one["channel"]["$ref"] for one in document["operations"].values() if one["action"] == "send"}
    assert sent == {f"#/channels/{name}" for name in PUBLISHED}
