"""How telemetry is verified: a span that is sent is stored, and one trace shows an order across the services."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from stepflow.errors import TemporaryError
from stepflow.playbook import Check, Evidence
from stepflow.workload import CheckContext, Live
from stepflow_playbooks.handoffs.data_pipeline import PipelineHandoff
from stepflow_playbooks.handoffs.monitoring_observability import OTLP
from stepflow_playbooks.handoffs.notification_service import NotificationHandoff
from stepflow_playbooks.handoffs.order_service import ORDERS, PAYMENTS
from stepflow_playbooks.handoffs.service_discovery import GATEWAY
from stepflow_playbooks.journey import (
    ORDER,
    best_stocked,
    http_client,
    place_order,
    register_and_sign_in,
    sign_in_admin,
)

if TYPE_CHECKING:
    import httpx2

TRACING = ("Distributed tracing and monitoring",)
ORDERING = frozenset({GATEWAY.workload, ORDERS.workload, PAYMENTS.workload})
"""The services that every order passes through."""
PATIENCE, STORED_WITHIN, POLL = 20.0, 5.0, 0.05  # seconds
OK, NOT_FOUND = 200, 404


def checks() -> tuple[Check, ...]:
    """Return the checks. They sample their own traces, so that they pass at any sampling rate."""
    return (
        Check("telemetry is stored", telemetry_is_stored),
        Check(
            "one trace shows an order across the services",
            one_trace_shows_the_way,
            proves=TRACING,
            when="run",
            timeout=2 * PATIENCE,
            needs=ORDER,
        ),
    )


async def telemetry_is_stored(live: Live) -> Evidence:
    """A span that is sent by OTLP can be read back."""
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
        await asyncio.sleep(POLL)


async def one_trace_shows_the_way(context: CheckContext) -> Evidence:
    """An order that is placed under a trace of ours appears in it with all services that take part."""
    trace_id = secrets.token_hex(16)
    async with sign_in_admin(context) as admin, register_and_sign_in(context, admin) as customer:
        traceparent = f"00-{trace_id}-{secrets.token_hex(8)}-01"
        await place_order(customer, await best_stocked(customer), trace=traceparent)
        spans = await _spans(admin, trace_id, listeners(context))
    return f"{len(spans)} spans of one order: {', '.join(sorted(_services(spans)))}"


def listeners(context: CheckContext) -> frozenset[str]:
    """Return the services of this platform that react to an order's events; none where no step runs one."""
    kinds = (NotificationHandoff, PipelineHandoff)
    return frozenset(handoff.service for handoff in context.handoffs if isinstance(handoff, kinds))


async def _spans(admin: httpx2.AsyncClient, trace_id: str, listening: frozenset[str]) -> list[dict[str, Any]]:
    """Return a trace once it has spans of all services on an order's way and of one listener, if there are any."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = await admin.get(f"/observability/api/traces/{trace_id}")
        if answer.status_code not in {OK, NOT_FOUND}:
            raise TemporaryError(f"the traces API answers {answer.status_code}: {answer.text[:160]}")
        spans: list[dict[str, Any]] = answer.json()["spans"] if answer.status_code == OK else []
        found = _services(spans)
        if found >= ORDERING and (found & listening or not listening):
            return spans
        if time.monotonic() > deadline:
            needed = _listed(ORDERING) + (f" and one of {_listed(listening)}" if listening else "")
            raise TemporaryError(f"trace {trace_id} has spans of {_listed(found)}; it needs {needed}")
        await asyncio.sleep(POLL)


def _listed(services: Collection[str]) -> str:
    return ", ".join(sorted(services)) or "no service"


def _services(spans: list[dict[str, Any]]) -> set[str]:
    return {span["service"] for span in spans}


def _export(trace_id: str) -> dict[str, Any]:
    """Return an OTLP export in JSON with one short span."""
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
