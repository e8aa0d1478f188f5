"""Services with each other: the registry, live configuration, calls, telemetry, shutdown."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

import httpx2
import pytest
import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from notes import notes_router
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chassis.app import Service
from chassis.http import CircuitOpen, NoInstanceError, ServiceClient
from chassis.telemetry import current_traceparent, span
from chassis.testing import Client, eventually
from chassis.testing.servers import free_port


async def test_a_ready_service_is_in_the_registry_until_it_leaves(
    make_service: Callable[[], Service], client: Client
) -> None:
    service, watching = make_service(), make_service()
    async with client(watching.app()):
        entries = watching.registry.values
        async with client(service.app()):

            async def registered() -> bool:
                return bool(entries.get("notes.test-1", {}).get("status") == "passing")

            await eventually(registered)
            assert entries["notes.test-1"] == {
                "service": "notes",
                "instance": "test-1",
                "address": "127.0.0.1",
                "port": 8000,
                "routes": ["/notes"],
                "public": [],
                "version": "1.2.3",
                "meta": {"openapi": "/openapi.json"},
                "status": "passing",
            }
            await watching.registration.leave()

        async def gone() -> bool:
            return not entries

        await eventually(gone)


async def test_an_instance_that_dies_is_gone_after_its_lease(
    make_service: Callable[[], Service], client: Client
) -> None:
    service = make_service()
    seen: list[object] = []

    async def note(key: str, value: object) -> None:
        del key
        seen.append(value)

    service.registry.listen("dead.", note)
    async with client(service.app()):
        await service.registry.loaded.wait()
        js = await service.bus.jetstream()
        await js.publish("$KV.registry.dead.one", b'{"service": "dead"}', msg_ttl=1)

        async def gone() -> bool:
            return len(seen) == 2

        await eventually(gone)
    assert seen == [{"service": "dead"}, None]


async def test_live_configuration_reaches_every_service(make_service: Callable[[], Service], client: Client) -> None:
    writer, reader = make_service(), make_service()
    seen: list[object] = []

    async def note(key: str, value: object) -> None:
        seen.append((key, value))

    reader.config.on_change("flags.", note)
    async with client(writer.app()), client(reader.app()):
        await writer.config.put("flags.one", {"on": True})
        await writer.config.put("other", 1)

        async def arrived() -> bool:
            return bool(reader.config.get("other") == 1)

        await eventually(arrived)
        await writer.config.delete("flags.one")

        async def both() -> bool:
            return len(seen) == 2

        await eventually(both)
        assert seen == [("flags.one", {"on": True}), ("flags.one", None)]


class Backend:
    """A server for the other end of calls."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.requests: list[Request] = []
        self.bodies: dict[str, list[bytes]] = {}
        self.port = free_port()
        router = APIRouter()
        router.add_api_route("/{path:path}", self._answer, methods=["GET", "POST"])
        self.app = FastAPI()
        self.app.include_router(router)

    async def _answer(self, request: Request, path: str) -> Response:
        self.requests.append(request)
        self.bodies.setdefault(path, []).append(await request.body())
        return Response(status_code=self.answers.pop(0) if self.answers else 200)

    async def __aenter__(self) -> Self:
        config = uvicorn.Config(self.app, port=self.port, log_config=None, lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._task = asyncio.create_task(self._server._serve())

        async def started() -> bool:
            return self._server.started

        await eventually(started)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._task


async def register(service: Service, backend: Backend) -> None:
    entry = {"service": "backend", "address": "127.0.0.1", "port": backend.port, "status": "passing"}
    js = await service.bus.jetstream()
    await js.publish("$KV.registry.backend.one", json.dumps(entry).encode())

    async def known() -> bool:
        return "backend.one" in service.registry.values

    await eventually(known)


async def test_calls_find_their_service_repeat_what_is_idempotent_and_carry_the_trace(
    make_service: Callable[[], Service], client: Client
) -> None:
    service = make_service()
    calls = ServiceClient(service, "backend", timeout=30)
    async with client(service.app()), Backend() as backend:
        with pytest.raises(NoInstanceError, match="no healthy instance of `backend` is registered"):
            await calls.request("GET", "/x")
        await register(service, backend)
        backend.answers = [503, 503, 200]
        with span("outer"):
            trace = (current_traceparent() or "").split("-")[1]
            assert (await calls.request("GET", "/x")).status_code == 200
        assert len(backend.requests) == 3
        assert {request.headers["traceparent"].split("-")[1] for request in backend.requests} == {trace}
        backend.answers = [503]
        assert (await calls.request("POST", "/x", json={})).status_code == 503
        assert len(backend.requests) == 4
        backend.answers = [503]
        assert (await calls.request("POST", "/x", json={}, idempotent=True)).status_code == 200


async def test_calls_go_through_the_mesh_once_it_is_known(make_service: Callable[[], Service], client: Client) -> None:
    service = make_service()
    calls = ServiceClient(service, "other-service", timeout=30)
    async with client(service.app()), Backend() as mesh:
        await service.config.put("gateway", {"url": "http://x", "mesh_url": f"http://127.0.0.1:{mesh.port}"})

        async def known() -> bool:
            return service.config.get("gateway") is not None

        await eventually(known)
        await calls.request("GET", "/pay?x=1")
        assert (mesh.requests[0].headers["host"], mesh.requests[0].url.path) == ("other-service", "/pay")


async def test_a_sick_service_is_left_alone_for_a_while(make_service: Callable[[], Service], client: Client) -> None:
    service = make_service()
    calls = ServiceClient(service, "backend", timeout=30, retries=0)
    async with client(service.app()), Backend() as backend:
        await register(service, backend)
        backend.answers = [500] * 10
        for _ in range(5):
            assert (await calls.request("GET", "/x")).status_code == 500
        with pytest.raises(CircuitOpen):
            await calls.request("GET", "/x")
        assert len(backend.requests) == 5


async def test_telemetry_from_before_it_was_configured_is_exported_afterwards(
    make_service: Callable[[], Service], client: Client
) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http, Backend() as collector:
        traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        await http.get("/notes/1", headers={"traceparent": traceparent})
        await http.get("/notes/2", headers={"traceparent": "00-zz-broken"})
        await http.post("/notes", json={"text": "a secret"}, headers={"traceparent": traceparent})
        await service.config.put("telemetry", {"otlp_endpoint": f"http://127.0.0.1:{collector.port}", "sampling": 1.0})

        async def exported() -> bool:
            return {"v1/traces", "v1/metrics"} <= set(collector.bodies)

        await eventually(exported)
    traces = ExportTraceServiceRequest.FromString(gzip.decompress(collector.bodies["v1/traces"][0]))
    resource = {a.key: a.value.string_value for a in traces.resource_spans[0].resource.attributes}
    assert resource["service.name"] == "notes"
    every = list(traces.resource_spans[0].scope_spans[0].spans)
    writing = next(one for one in every if one.name == "POST /notes")
    statements = [one for one in every if one.parent_span_id == writing.span_id]
    assert [one.name for one in statements if one.name.startswith("INSERT")] == ["INSERT notes", "INSERT outbox"]
    assert {one.name for one in statements} >= {"BEGIN", "COMMIT"}
    assert "a secret" not in str(traces)
    spans = [one for one in every if one.name == "GET /notes/{number}"]
    assert spans[0].trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert spans[0].parent_span_id.hex() == "b7ad6b7169203331"
    assert not spans[1].parent_span_id
    metrics = ExportMetricsServiceRequest.FromString(gzip.decompress(collector.bodies["v1/metrics"][0]))
    names = {one.name for one in metrics.resource_metrics[0].scope_metrics[0].metrics}
    assert {"http_server_request_duration_seconds", "build_info"} <= names


PROGRAM = """
import asyncio
from chassis.app import Service, serve
from chassis.settings import Settings, load
from fastapi import APIRouter
router = APIRouter()
begun = asyncio.Event()
@router.get("/slow")
async def slow() -> str:
    begun.set()
    await asyncio.sleep(0.5)
    return "done"
@router.get("/begun")
async def has_begun() -> bool:
    return begun.is_set()
settings = load(Settings)
serve(Service(settings, title="t", version="1").app(router), settings)
"""


async def test_sigterm_lets_requests_in_flight_finish_and_ends_with_0(nats_url: str) -> None:
    port = free_port()
    source = Path(__file__).parents[1] / "src"
    env = {"PYTHONPATH": str(source), "PATH": os.environ["PATH"], "SERVICE": "t", "INSTANCE": "t-1"}
    env |= {"NATS_URL": nats_url, "PORT": str(port), "DRAIN_SECONDS": "0.1"}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http:

            async def ready() -> bool:
                try:
                    return (await http.get("/health/ready")).status_code == 200
                except httpx2.ConnectError:
                    return False

            async def begun() -> bool:
                return bool((await http.get("/begun")).json())

            await eventually(ready, 60)
            answer = asyncio.create_task(http.get("/slow"))
            await eventually(begun)
            child.send_signal(signal.SIGTERM)
            assert (await answer).json() == "done"
        output, _ = await asyncio.wait_for(child.communicate(), 60)
        assert child.returncode == 0, output.decode()
        lines = [json.loads(line) for line in output.decode().splitlines()]
        request = next(line for line in lines if line["message"] == "GET /slow 200")
        assert (request["service"], request["level"], len(request["trace_id"])) == ("t", "INFO", 32)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
