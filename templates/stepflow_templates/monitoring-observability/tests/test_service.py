"""The running service: telemetry in over HTTP, answers out for those who may read them."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import nats
import pytest
from fastapi import FastAPI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from chassis.settings import load
from chassis.testing import eventually
from chassis.testing.servers import free_port
from service import wire
from service.__main__ import build
from service.database import reader
from service.intake import MAX_AT_ONCE, Intake
from service.settings import ObservabilitySettings
from service.traces import trace

Json = dict[str, Any]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PROTOBUF = {"Content-Type": "application/x-protobuf"}


@dataclass(frozen=True)
class Running:
    """The service under test: clients of its API (as an administrator) and of its OTLP port."""

    app: FastAPI
    admin: httpx2.AsyncClient
    otlp: httpx2.AsyncClient
    nats_url: str


@pytest.fixture
async def running(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    nats_url: str,
    token: Callable[..., str],
    client: Callable[[FastAPI], AbstractAsyncContextManager[httpx2.AsyncClient]],
) -> AsyncIterator[Running]:
    port = free_port()
    given = {"NATS_URL": nats_url, "OTLP_PORT": port, "DATA_DIR": tmp_path, "SAMPLING": "0.5", "DRAIN_SECONDS": "0"}
    for name, value in given.items():
        monkeypatch.setenv(name, str(value))
    app = build(load(ObservabilitySettings))
    async with (
        client(app) as http,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as otlp,
    ):
        http.headers["Authorization"] = f"Bearer {token(roles=('admin', 'user'))}"
        yield Running(app, http, otlp, nats_url)


def export(*, name: str = "POST /api/orders", trace_id: str = TRACE, span_id: str = "00f067aa0ba902b7") -> Json:
    now = time.time_ns()
    span = {
        "traceId": trace_id, "spanId": span_id, "name": name, "kind": 2,
        "startTimeUnixNano": str(now - 5_000_000), "endTimeUnixNano": str(now),
    }  # fmt: skip
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "orders"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}


async def stored(running: Running, path: str = f"traces/{TRACE}") -> Json:
    async def there() -> bool:
        return (await running.admin.get(f"/observability/api/{path}")).status_code == 200

    await eventually(there)
    found: Json = (await running.admin.get(f"/observability/api/{path}")).json()
    return found


async def test_span_sent_by_otlp_is_read_back_with_everything_a_waterfall_needs(running: Running) -> None:
    answer = await running.otlp.post("/v1/traces", json=export())
    assert (answer.status_code, answer.json()) == (200, {})
    (span,) = (await stored(running))["spans"]
    assert (span["service"], span["name"], span["parent"], span["status"]) == ("orders", "POST /api/orders", None, "ok")
    assert span["duration_ms"] == 5.0
    (found,) = (await running.admin.get("/observability/api/traces", params={"service": "orders"})).json()["items"]
    assert found["trace_id"] == TRACE
    (service,) = (await running.admin.get("/observability/api/services")).json()["services"]
    assert (service["name"], service["requests"], service["errors"]) == ("orders", 1, 0)


async def test_sender_may_ask_how_many_spans_of_its_trace_are_stored(running: Running) -> None:
    assert (await running.otlp.get(f"/v1/traces/{TRACE}")).status_code == 404
    await running.otlp.post("/v1/traces", json=export())
    await stored(running)
    assert (await running.otlp.get(f"/v1/traces/{TRACE}")).json() == {"spans": 1}


async def test_chunked_and_compressed_protobuf_is_taken(running: Running) -> None:
    message = ExportTraceServiceRequest()
    wire.parse(json.dumps(export()).encode(), wire.JSON, message)
    body = gzip.compress(message.SerializeToString())

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 20):
            yield body[start : start + 20]

    answer = await running.otlp.post("/v1/traces", content=chunks(), headers=PROTOBUF | {"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
    assert ExportTraceServiceResponse.FromString(answer.content) == ExportTraceServiceResponse()
    assert len((await stored(running))["spans"]) == 1


async def test_rejected_spans_are_counted_in_the_answer_while_the_others_are_kept(running: Running) -> None:
    document = export()
    document["resourceSpans"] += export(trace_id="00" * 16)["resourceSpans"]
    answer = await running.otlp.post("/v1/traces", json=document)
    assert answer.json() == {
        "partialSuccess": {
            "rejectedSpans": "1",
            "errorMessage": "a span needs a trace id of 16 bytes and a span id of 8",
        }
    }
    assert len((await stored(running))["spans"]) == 1


@pytest.mark.parametrize(
    ("headers", "body", "status", "message"),
    [
        ({"Content-Type": "text/plain"}, b"", 415, "Content-Type `text/plain` is not supported"),
        ({"Content-Type": "application/json"}, b"{", 400, "the body is not the JSON message of this path"),
        ({"Content-Type": "application/json"}, b" " * (4 * 1024 * 1024 + 1), 413, "larger than 4194304 bytes"),
        ({"Content-Type": "application/json", "Content-Encoding": "br"}, b"{}", 415, "Content-Encoding `br`"),
    ],
)
async def test_export_that_cannot_be_taken_says_why(
    running: Running, headers: dict[str, str], body: bytes, status: int, message: str
) -> None:
    answer = await running.otlp.post("/v1/traces", content=body, headers=headers)
    assert answer.status_code == status
    if headers["Content-Type"] == "application/json":
        assert message in answer.json()["message"]
    else:
        assert message.encode() in answer.content


async def test_full_queue_is_answered_with_503_and_when_to_come_back(tmp_path: Path) -> None:
    transport = httpx2.ASGITransport(app=Intake(lambda _: False, tmp_path).app())
    async with httpx2.AsyncClient(transport=transport, base_url="http://otlp") as http:
        answer = await http.post("/v1/traces", json=export())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"code": 14, "message": "the queue is full: send it again"}


async def test_too_many_exports_at_once_are_answered_with_429(tmp_path: Path) -> None:
    held = threading.Event()
    transport = httpx2.ASGITransport(app=Intake(lambda _: held.wait(60), tmp_path).app())
    async with httpx2.AsyncClient(transport=transport, base_url="http://otlp") as http:
        sent = [asyncio.create_task(http.post("/v1/traces", json=export())) for _ in range(MAX_AT_ONCE + 1)]
        done, _ = await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED, timeout=60)
        held.set()
        statuses = sorted(answer.status_code for answer in await asyncio.gather(*sent))
    (refused,) = (task.result() for task in done)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert statuses == [200] * MAX_AT_ONCE + [429]


async def test_everyone_is_told_where_telemetry_goes_and_how_much(running: Running) -> None:
    connection = await nats.connect(running.nats_url)
    try:
        bucket = await connection.jetstream().key_value("config")
        told = json.loads((await bucket.get("telemetry")).value or b"")
    finally:
        await connection.close()
    assert told == {"otlp_endpoint": str(running.otlp.base_url).rstrip("/"), "sampling": 0.5}


async def test_own_telemetry_arrives_and_does_not_breed(running: Running) -> None:
    async def told() -> bool:
        names = (await running.admin.get("/observability/api/metrics")).json()["items"]
        return bool([name for name in names if name["name"].startswith("http_server_request_duration")])

    await eventually(told)
    spans = (await running.admin.get("/observability/api/traces", params={"q": "/v1/traces"})).json()["items"]
    assert spans == []


async def test_looking_at_telemetry_is_left_out_of_lists_unless_asked_for(running: Running) -> None:
    async def asked(**params: str) -> list[Json]:
        items: list[Json] = (await running.admin.get("/observability/api/traces", params=params)).json()["items"]
        return items

    async def own_arrived() -> bool:
        return bool(await asked(own="true"))

    await eventually(own_arrived)
    assert await asked(service="monitoring-observability")
    assert await asked() == []


async def test_only_administrators_and_clients_with_the_scope_may_read(
    running: Running, token: Callable[..., str]
) -> None:
    async def status(**claims: Any) -> int:  # noqa: ANN401 - claims
        headers = {"Authorization": f"Bearer {token(**claims)}"}
        return (await running.admin.get("/observability/api/services", headers=headers)).status_code

    assert await status(roles=("admin",)) == 200
    assert await status(roles=(), scopes=("telemetry:read",)) == 200
    assert await status(roles=("user",)) == 403
    assert await status(roles=(), scopes=("orders:read",)) == 403
    del running.admin.headers["Authorization"]
    answer = await running.admin.get("/observability/api/logs")
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


@pytest.mark.parametrize("path", [f"traces/{TRACE}", "traces/xyz", "metrics?name=nothing"])
async def test_what_is_not_there_is_a_404_in_words(running: Running, path: str) -> None:
    answer = await running.admin.get(f"/observability/api/{path}")
    assert answer.status_code == 404
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    "query",
    [
        "traces?min_ms=-1",
        "traces?min_ms=nan",
        "traces?window=1",
        "traces?cursor=%ff",
        "traces?limit=0",
        "logs?severity=25",
        "logs?trace_id=abc",
        "logs?cursor=WzFd",
        "metrics?statistic=p42",
        "services?window=99999999999999",
    ],
)
async def test_values_that_make_no_sense_are_a_422_that_points_at_them(running: Running, query: str) -> None:
    answer = await running.admin.get(f"/observability/api/{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("query/")


async def test_logs_go_on_page_by_page_without_a_gap(running: Running) -> None:
    records = [{"timeUnixNano": str(time.time_ns() - n // 2), "body": {"stringValue": f"n{n}"}} for n in range(7)]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "pages"}}]}
    document = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}
    assert (await running.otlp.post("/v1/logs", json=document)).status_code == 200
    seen: list[str] = []

    async def page(cursor: str) -> Json:
        params = {"service": "pages", "limit": "3", "cursor": cursor}
        found: Json = (await running.admin.get("/observability/api/logs", params=params)).json()
        return found

    async def arrived() -> bool:
        return bool((await page(""))["items"])

    await eventually(arrived)
    following: str | None = ""
    while following is not None:
        found = await page(following)
        seen += [item["message"] for item in found["items"]]
        following = found["next"]
    assert sorted(seen) == [f"n{n}" for n in range(7)]


async def test_page_is_open_and_lets_nothing_foreign_run(running: Running) -> None:
    del running.admin.headers["Authorization"]
    page = await running.admin.get("/observability/")
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    for name in ("app.js", "views.css", "icon.svg"):
        asset = await running.admin.get(f"/observability/static/{name}")
        assert (asset.status_code, asset.headers["x-content-type-options"]) == (200, "nosniff")
        assert b"http://" not in asset.content.replace(b"http://www.w3.org/2000/svg", b"")
    assert (await running.admin.get("/observability/static/..%2fapi.py")).status_code == 404


async def test_what_was_stored_is_there_after_a_restart(running: Running, tmp_path: Path) -> None:
    await running.otlp.post("/v1/traces", json=export())
    await stored(running)

    def read() -> int:
        with reader(tmp_path) as connection:
            return len(trace(connection, TRACE))

    assert await asyncio.to_thread(read) == 1
