"""The ASGI app that receives OTLP: `/v1/traces`, `/v1/metrics`, `/v1/logs`.

It is not instrumented: what arrives here must not make telemetry that arrives here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as log_wire
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metric_wire
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_wire
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chassis.metrics import counter
from service import otlp, otlp_metrics, traces, wire
from service.database import reader
from service.records import Decoded
from service.wire import RefusedError
from service.writer import Batch

MAX_BODY = 4 * 1024 * 1024  # bytes as sent
MAX_AT_ONCE = 16  # requests being decoded
RETRY_AFTER = "1"  # seconds
Submit = Callable[[Batch], bool]


@dataclass(frozen=True, slots=True)
class Signal:
    """One kind of telemetry: its messages, how they are read, and where its answer counts what was rejected."""

    request: Callable[[], Any]
    response: Callable[[], Any]
    decode: Callable[[Any], Decoded]
    rejected: str


SIGNALS = {
    "traces": Signal(
        trace_wire.ExportTraceServiceRequest, trace_wire.ExportTraceServiceResponse, otlp.spans, "rejected_spans"
    ),
    "logs": Signal(
        log_wire.ExportLogsServiceRequest, log_wire.ExportLogsServiceResponse, otlp.logs, "rejected_log_records"
    ),
    "metrics": Signal(
        metric_wire.ExportMetricsServiceRequest,
        metric_wire.ExportMetricsServiceResponse,
        otlp_metrics.points,
        "rejected_data_points",
    ),
}


class Intake:
    """Accepts exports while there is room, and rejects them when there is none."""

    def __init__(self, submit: Submit, folder: Path) -> None:
        self._submit = submit
        self._folder = folder
        self._busy = 0

    def app(self) -> Starlette:
        """Make the ASGI app."""
        routes = [
            Route(f"/v1/{name}", self._endpoint(name, signal), methods=["POST"]) for name, signal in SIGNALS.items()
        ]
        return Starlette(routes=[*routes, Route("/v1/traces/{trace_id}", self._stored, methods=["GET"])])

    async def _stored(self, request: Request) -> Response:
        """Return how many spans of a trace are stored: enough for a sender to see that they arrived, and no more."""
        count = await asyncio.to_thread(self._count, request.path_params["trace_id"])
        return JSONResponse({"spans": count}, 200 if count else 404)

    def _count(self, trace_id: str) -> int:
        with reader(self._folder) as connection:
            return traces.count(connection, trace_id)

    def _endpoint(self, name: str, signal: Signal) -> Callable[[Request], Any]:
        async def take(request: Request) -> Response:
            media = wire.JSON if request.headers.get("content-type", "").startswith(wire.JSON) else wire.PROTOBUF
            try:
                media = wire.media_type(request.headers.get("content-type", ""))
                with self._place():
                    body = await _body(request)
                    encoding = request.headers.get("content-encoding", "").strip().lower()
                    answer, stored = await asyncio.to_thread(self._take, signal, body, media, encoding)
            except RefusedError as error:
                return _refusal(name, error, media)
            _count(name, "accepted", stored)
            return Response(wire.answer(answer, media), media_type=media)

        return take

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Hold one of the slots for exports being decoded, which bound their memory."""
        if self._busy >= MAX_AT_ONCE:
            raise RefusedError(429, "too many exports at once: send it again")
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    def _take(self, signal: Signal, body: bytes, media: str, encoding: str) -> tuple[Message, int]:
        message = signal.request()
        wire.parse(wire.decompress(body, encoding), media, message)
        decoded = signal.decode(message)
        if decoded.records and not self._submit(decoded.records):
            raise RefusedError(503, "the queue is full: send it again")
        response = signal.response()
        if decoded.rejected:
            setattr(response.partial_success, signal.rejected, decoded.rejected)
            response.partial_success.error_message = decoded.reason
        assert isinstance(response, Message)
        return response, len(decoded.records)


async def _body(request: Request) -> bytes:
    """Read a body, also a chunked one, up to `MAX_BODY`."""
    parts = bytearray()
    try:
        async for chunk in request.stream():
            parts += chunk
            if len(parts) > MAX_BODY:
                raise RefusedError(413, f"the body is larger than {MAX_BODY} bytes: send smaller batches")
    except ClientDisconnect as error:
        raise RefusedError(400, "the sender left before the body was complete") from error
    return bytes(parts)


def _refusal(name: str, error: RefusedError, media: str) -> Response:
    _count(name, "refused", 1)
    headers = {"Retry-After": RETRY_AFTER} if error.status in {429, 503} else {}
    return Response(wire.failure(error.status, str(error), media), error.status, headers, media_type=media)


def _count(signal: str, result: str, amount: int) -> None:
    help_text = "Records taken in, and requests refused, by signal."
    counter("telemetry_intake_total", help_text, ("signal", "result")).labels(signal, result).inc(amount)
