"""`/asyncapi.json`: the published events, described for those who consume them (AsyncAPI 3.0, CloudEvents 1.0)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service.integration import PUBLISHED

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
MONEY: Schema = {"type": "integer", "minimum": 0, "description": "Minor units of `currency`."}
CURRENCY: Schema = {"type": "string", "pattern": "^[A-Z]{3}$"}
ITEM_FIELDS: dict[str, Schema] = {
    "sku": TEXT,
    "name": TEXT,
    "quantity": {"type": "integer", "minimum": 1},
    "unit_price": MONEY,
}


def _object(fields: dict[str, Schema]) -> Schema:
    return {"type": "object", "required": sorted(fields), "properties": fields}


ITEMS: Schema = {"type": "array", "minItems": 1, "items": _object(ITEM_FIELDS)}
GOODS: dict[str, Schema] = {"items": ITEMS, "total": MONEY, "currency": CURRENCY}
PAYLOADS: dict[str, tuple[str, dict[str, Schema]]] = {
    "placed": ("A customer asked for goods at these prices.", {**GOODS, "placed_at": TIME}),
    "stock-reserved": ("All lines are set aside.", {"items": ITEMS}),
    "stock-rejected": ("A line cannot be had.", {"sku": TEXT, "reason": TEXT}),
    "payment-authorized": ("The money was taken.", {"payment_id": TEXT, "amount": MONEY, "currency": CURRENCY}),
    "payment-declined": ("No money was taken, or none that stays.", {"reason": TEXT}),
    "confirmed": ("The order stands.", {**GOODS, "confirmed_at": TIME}),
    "cancelled": ("The order is over, everything is undone.", {**GOODS, "reason": TEXT, "cancelled_at": TIME}),
}


def data_schema(event_type: str) -> Schema:
    """Give the JSON Schema of an event's `data`."""
    _, fields = PAYLOADS[event_type.removeprefix("orders.v1.")]
    return _object({"order_id": TEXT, "user_id": TEXT, **fields})


def envelope(event_type: str) -> Schema:
    """Give the JSON Schema of the whole CloudEvent."""
    fields: dict[str, Schema] = {
        "specversion": {"const": "1.0"},
        "id": {**TEXT, "description": "Also the header `Nats-Msg-Id`: the same for every repetition."},
        "type": {"const": event_type},
        "source": TEXT,
        "subject": {**TEXT, "description": "The order's id."},
        "time": TIME,
        "datacontenttype": {"const": "application/json"},
        "data": data_schema(event_type),
    }
    schema = _object(fields)
    schema["properties"]["traceparent"] = {**TEXT, "description": "W3C Trace Context of the request it goes back to."}
    return schema


def document(version: str) -> dict[str, Any]:
    """Give the AsyncAPI document: one channel (a NATS subject of the stream `orders`) for each event."""
    channels, operations, messages = {}, {}, {}
    for event_type in PUBLISHED:
        name = event_type.removeprefix("orders.v1.")
        channels[name] = {"address": event_type, "messages": {name: {"$ref": f"#/components/messages/{name}"}}}
        operations[f"publish-{name}"] = {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
        messages[name] = {
            "name": event_type,
            "summary": PAYLOADS[name][0],
            "contentType": "application/cloudevents+json",
            "payload": envelope(event_type),
        }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Order events", "version": version},
        "defaultContentType": "application/cloudevents+json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def asyncapi_router(version: str) -> APIRouter:
    """Make the route."""
    routes = APIRouter(tags=["documents"])

    @routes.get("/asyncapi.json")
    async def asyncapi() -> dict[str, Any]:
        """Describe the events that this service publishes."""
        return document(version)

    return routes
