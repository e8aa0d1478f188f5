"""The reports over HTTP: who may read them, in which formats, and how soon an order counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import httpx2
import nats
import pytest
from examples import event, order
from fastapi import FastAPI
from nats.js import JetStreamContext
from opentelemetry.trace import SpanKind

from chassis.settings import load
from chassis.testing import Client, eventually
from service import source
from service.__main__ import build
from service.settings import PipelineSettings


@pytest.fixture
async def js(nats_url: str) -> AsyncIterator[JetStreamContext]:
    connection = await nats.connect(nats_url)
    js = connection.jetstream()
    for stream in ("users", "orders", "notifications"):
        await js.add_stream(name=stream, subjects=[f"{stream}.>"])
    yield js
    await connection.close()


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, nats_url: str, tmp_path: Path) -> FastAPI:
    own = {"NATS_URL": nats_url, "INSTANCE": "t", "WAREHOUSE_DIR": str(tmp_path), "DRAIN_SECONDS": "0"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    return build(load(PipelineSettings))


@pytest.fixture
async def http(
    app: FastAPI, js: JetStreamContext, token: Callable[..., str], client: Client
) -> AsyncIterator[httpx2.AsyncClient]:
    del js  # only to have the streams made first
    async with client(app) as opened:
        opened.headers["Authorization"] = f"Bearer {token(roles=('admin', 'user'))}"
        yield opened


async def publish(js: JetStreamContext, *payloads: tuple[str, bytes]) -> None:
    for subject, payload in payloads:
        await js.publish(subject, payload)


async def revenue(http: httpx2.AsyncClient) -> int:
    rows = (await http.get("/api/reports/daily-revenue")).json()["rows"]
    return sum(row["revenue"] for row in rows)


async def test_a_confirmed_order_counts_as_soon_as_it_is_published(
    http: httpx2.AsyncClient, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not when a batch is full, or the time to wait for one is over."""
    monkeypatch.setattr(source, "WAIT", 120.0)
    for number in range(3):
        await publish(js, ("orders.v1.confirmed", order("confirmed", number).encode()))

        async def counted(expected: int = 2500 * (number + 1)) -> bool:
            return await revenue(http) == expected

        await eventually(counted)


async def test_loading_an_event_is_part_of_the_trace_that_it_was_published_in(
    app: FastAPI, http: httpx2.AsyncClient, js: JetStreamContext
) -> None:
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    published = replace(order("confirmed", 1), traceparent=f"00-{trace}-{parent}-01")
    untraced = replace(order("confirmed", 2), traceparent=None)
    await publish(js, *(("orders.v1.confirmed", one.encode()) for one in (published, untraced)))

    async def counted() -> bool:
        return await revenue(http) == 5000

    await eventually(counted)
    spans = [span for span in app.state.service.telemetry.spans.take(10_000) if span.name == "load orders.v1.confirmed"]
    (span,) = spans
    assert span.parent is not None
    assert (span.context.trace_id, span.parent.span_id) == (int(trace, 16), int(parent, 16))
    assert span.kind is SpanKind.CONSUMER
    assert span.attributes["messaging.message.id"] == published.id
    assert span.end_time > span.start_time


async def test_the_same_rows_come_as_json_csv_and_parquet(
    http: httpx2.AsyncClient, js: JetStreamContext, tmp_path: Path
) -> None:
    await publish(js, ("orders.v1.confirmed", order("confirmed").encode()))
    await eventually(lambda: revenue(http))
    path = "/api/reports/daily-revenue?from=2026-03-01&to=2026-03-31"
    answer = (await http.get(path)).json()
    assert answer == {
        "report": "daily-revenue",
        "from": "2026-03-01",
        "to": "2026-03-31",
        "rows": [{"day": "2026-03-01", "currency": "EUR", "orders": 1, "revenue": 2500}],
    }
    as_csv = await http.get(path, headers={"Accept": "text/csv"})
    assert as_csv.headers["content-type"].startswith("text/csv")
    assert as_csv.text == "day,currency,orders,revenue\r\n2026-03-01,EUR,1,2500\r\n"
    parquet = await http.get(path, headers={"Accept": "application/vnd.apache.parquet"})
    assert parquet.content[:4] == parquet.content[-4:] == b"PAR1"
    (tmp_path / "it.parquet").write_bytes(parquet.content)
    with duckdb.connect() as reader:
        found = reader.execute("FROM read_parquet(?)", [str(tmp_path / "it.parquet")]).fetchall()
    assert found == [(date(2026, 3, 1), "EUR", 1, 2500)]
    refused = await http.get(path, headers={"Accept": "text/html"})
    assert refused.status_code == 406
    assert refused.json()["detail"] == (
        "`text/html` accepts none of application/json, text/csv, application/vnd.apache.parquet."
    )


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/reports/profit", 404, "There is no report `profit`; there are daily-revenue, top-products"),
        ("/api/reports/daily-revenue?from=tomorrow", 422, "1 value is not acceptable."),
        (
            "/api/reports/daily-revenue?from=2026-02-01&to=2026-01-01",
            422,
            "`from` 2026-02-01 is after `to` 2026-01-01.",
        ),
        ("/api/reports/daily-revenue?to=0", 422, "1 value is not acceptable."),
        ("/api/reports/daily-revenue?limit=0", 422, "1 value is not acceptable."),
        ("/api/reports/quarantine?cursor=x", 422, "The cursor is not one of ours."),
    ],
)
async def test_wrong_requests_are_told_what_is_wrong(
    http: httpx2.AsyncClient, path: str, status: int, says: str
) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["detail"].startswith(says)


async def test_reports_are_for_administrators_and_clients_with_the_scope(
    http: httpx2.AsyncClient, token: Callable[..., str]
) -> None:
    async def status(bearer: str) -> int:
        headers = {"Authorization": f"Bearer {bearer}"}
        return (await http.get("/api/reports", headers=headers)).status_code

    assert await status(token(roles=("user",), scopes=("reports:read",))) == 403
    assert await status(token(roles=(), scopes=("orders:read",))) == 403
    assert await status(token(roles=(), scopes=("reports:read",))) == 200
    del http.headers["Authorization"]
    assert (await http.get("/api/reports")).status_code == 401
    assert (await http.get("/reports")).status_code == 200


async def test_what_breaks_the_contract_is_listed_with_its_reason_and_the_rest_counts(
    http: httpx2.AsyncClient, js: JetStreamContext
) -> None:
    broken = order("placed", 2)
    broken.data["currency"] = "euro"
    await publish(
        js,
        ("orders.v1.placed", broken.encode()),
        ("users.v1.renamed", event("users.v1.renamed", {"user_id": "u1"}).encode()),
        ("orders.v1.confirmed", order("confirmed").encode()),
    )
    await eventually(lambda: revenue(http))

    async def listed() -> bool:
        return len((await http.get("/api/reports/quarantine")).json()["items"]) == 2

    await eventually(listed)
    found = (await http.get("/api/reports/quarantine?limit=1")).json()
    assert [each["reason"] for each in found["items"]] == ["data.currency: String should match pattern '^[A-Z]{3}$'"]
    rest = (await http.get("/api/reports/quarantine", params={"cursor": found["next"]})).json()
    assert [each["reason"] for each in rest["items"]] == ["no contract for the type `users.v1.renamed`"]
    streams = {each["stream"]: each for each in (await http.get("/api/reports/freshness")).json()["streams"]}
    assert (streams["orders"]["rows"], streams["orders"]["rejects"]) == (1, 1)


async def test_a_stream_that_is_recreated_is_read_from_its_beginning(
    http: httpx2.AsyncClient, js: JetStreamContext
) -> None:
    await publish(js, *(("orders.v1.confirmed", order("confirmed", number).encode()) for number in range(5)))

    async def counted(expected: int) -> bool:
        return await revenue(http) == expected

    await eventually(lambda: counted(5 * 2500))
    await js.delete_stream("orders")
    await js.add_stream(name="orders", subjects=["orders.>"])
    await publish(js, ("orders.v1.confirmed", order("confirmed", 7).encode()))
    await eventually(lambda: counted(6 * 2500))


async def test_the_description_is_openapi_and_names_the_formats(http: httpx2.AsyncClient) -> None:
    described = (await http.get("/openapi.json")).json()
    assert described["openapi"].startswith("3.1")
    contents = described["paths"]["/api/reports/{name}"]["get"]["responses"]["200"]["content"]
    assert sorted(contents) == ["application/json", "application/vnd.apache.parquet", "text/csv"]
