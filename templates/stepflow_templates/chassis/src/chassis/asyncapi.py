"""The events of a service as an AsyncAPI 3.0 document: what it publishes, with schemas, and what it consumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from chassis.events.event import CONTENT_TYPE

Json = dict[str, Any]


def describe(title: str, version: str, publishes: Mapping[str, type[BaseModel]], consumes: Iterable[str]) -> Json:
    """Make the document; `publishes` maps each type to the model of its `data`."""
    consumed = sorted(set(consumes))
    types = sorted({*publishes, *consumed})
    made, shared = models_json_schema(
        [(publishes[one], "serialization") for one in sorted(publishes)], ref_template="#/components/schemas/{model}"
    )
    schemas = {one: made[publishes[one], "serialization"] for one in publishes}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version},
        "defaultContentType": CONTENT_TYPE,
        "channels": {one: {"address": one, "messages": {one: _reference("components/messages", one)}} for one in types},
        "operations": {
            **{f"publish.{one}": _operation("send", one) for one in sorted(publishes)},
            **{f"consume.{one}": _operation("receive", one) for one in consumed},
        },
        "components": {
            "messages": {one: _message(one, schemas.get(one, {"type": "object"})) for one in types},
            "schemas": shared.get("$defs", {}),
        },
    }


def _reference(place: str, name: str) -> Json:
    return {"$ref": f"#/{place}/{name}"}


def _operation(action: str, name: str) -> Json:
    return {"action": action, "channel": _reference("channels", name)}


def _message(name: str, data: Json) -> Json:
    """Describe a CloudEvent (1.0, structured JSON) of one type."""
    text: Json = {"type": "string", "minLength": 1}
    properties: Json = {
        "specversion": {"const": "1.0"},
        "type": {"const": name},
        "id": text,
        "source": text,
        "subject": text,
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "traceparent": text,
        "test": {"const": True, "description": "Of a test account; leave it out of everything that counts."},
        "data": data,
    }
    required = [one for one in properties if one not in {"traceparent", "test"}]
    payload = {"type": "object", "required": required, "properties": properties}
    return {"name": name, "contentType": CONTENT_TYPE, "payload": payload}
