"""How running telemetry is verified: a span goes in and comes out; one trace shows an order's way."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stepflow.errors import PermanentError, TemporaryError
from stepflow.playbook import Check, Evidence
from stepflow.workload import Live
from stepflow_playbooks.journey import ACCOUNTS, http_client, register_and_sign_in, sign_in_admin
from stepflow_playbooks.monitoring_observability.handoff import OTLP

if TYPE_CHECKING:
    import httpx2

TRACING = ("Distributed tracing and monitoring",)
ALWAYS = frozenset({"gateway", "order-service", "payment-provider"})
LISTENERS = frozenset({"notification-service", "data-pipeline"})
"""Services that handle an order's events; one of them at least has to be seen."""
PATIENCE, STORED_WITHIN, LOOK_EVERY = 20.0, 5.0, 0.05  # seconds
OK, ACCEPTED, NOT_FOUND = 200, 202, 404


def checks() -> tuple[Check, ...]:
    """All of them. They sample their own traces, so that they hold at any rate of sampling."""
    return (
        Check("telemetry is stored", telemetry_is_stored),
        Check(
            "one trace shows the way",
            one_trace_shows_the_way,
            proves=TRACING,
            when="run",
            timeout=2 * PATIENCE,
            needs=(*ACCOUNTS, "order-service"),
        ),
    )


async def telemetry_is_stored(live: Live) -> Evidence:
    """Send a span by OTLP and wait until the store counts it."""
    trace_id = secrets.token_hex(16)
    async with http_client(live.url(OTLP)) as http:
        answer = await http.post("/v1/traces", json=_export(trace_id))
        if answer.status_code != OK:
            raise TemporaryError(f"OTLP answers {answer.status_code}: {answer.text[:160]}")
        await _stored(http, trace_id)
    return "a span sent by OTLP is stored"


async def _stored(http: httpx2.AsyncClient, trace_id: str) -> None:
    deadline = time.monotonic() + STORED_WITHIN
    while True:
        answer = await http.get(f"/v1/traces/{trace_id}")
        if answer.status_code == OK:
            return
        if time.monotonic() > deadline:
            raise TemporaryError(f"a span was accepted but is not stored after {STORED_WITHIN:g} s")
        await asyncio.sleep(LOOK_EVERY)


async def one_trace_shows_the_way(live: Live) -> Evidence:
    """Place an order under a trace of our own, and wait until all that take part have told of it."""
    trace_id = secrets.token_hex(16)
    traceparent = f"00-{trace_id}-{secrets.token_hex(8)}-01"
    async with register_and_sign_in(live) as customer:
        placed = await customer.post("/api/orders", json=await _order(customer), headers={"traceparent": traceparent})
        if placed.status_code != ACCEPTED:
            raise TemporaryError(f"POST /api/orders answers {placed.status_code}: {placed.text[:160]}")
    async with sign_in_admin(live) as admin:
        spans = await _spans(admin, trace_id, _complete, f"{', '.join(sorted(ALWAYS))} and a listener")
    services = sorted({span["service"] for span in spans})
    return f"{len(spans)} spans of one order: {', '.join(services)}"


def _complete(spans: list[dict[str, Any]]) -> bool:
    services = {span["service"] for span in spans}
    return services >= ALWAYS and bool(services & LISTENERS)


async def _order(customer: httpx2.AsyncClient) -> dict[str, Any]:
    answer = await customer.get("/api/products")
    if answer.status_code != OK:
        raise TemporaryError(f"GET /api/products answers {answer.status_code}: {answer.text[:160]}")
    in_stock = [product for product in answer.json()["items"] if product["stock"] > 0]
    if not in_stock:
        raise PermanentError("no product is in stock: no order can be traced", hint="restock, then `stepflow verify`")
    most = max(in_stock, key=lambda product: product["stock"])
    return {"items": [{"sku": most["sku"], "quantity": 1}], "payment": {"token": "tok_ok"}}


async def _spans(
    admin: httpx2.AsyncClient, trace_id: str, enough: Callable[[list[dict[str, Any]]], bool], wanted: str
) -> list[dict[str, Any]]:
    """Ask for a trace until it is enough; `TemporaryError` with what is there when it is not after a while."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = await admin.get(f"/observability/api/traces/{trace_id}")
        if answer.status_code not in {OK, NOT_FOUND}:
            raise TemporaryError(f"the traces API answers {answer.status_code}: {answer.text[:160]}")
        spans: list[dict[str, Any]] = answer.json()["spans"] if answer.status_code == OK else []
        if enough(spans):
            return spans
        if time.monotonic() > deadline:
            there = ", ".join(sorted({span["service"] for span in spans})) or "nothing"
            raise TemporaryError(f"trace {trace_id} lacks spans: it has {there}, and needs {wanted}")
        await asyncio.sleep(LOOK_EVERY)


def _export(trace_id: str) -> dict[str, Any]:
    """Make an OTLP export in JSON with one short span."""
    now = time.time_ns()
    span = {
        "traceId": trace_id,
        "spanId": secrets.token_hex(8),
        "name": "verify",
        "kind": 1,
        "startTimeUnixNano": str(now - 1_000_000),
        "endTimeUnixNano": str(now),
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "stepflow-check"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
