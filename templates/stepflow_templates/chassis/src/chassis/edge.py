"""The outermost ASGI layer: request ids, server spans, RED metrics, the body limit, and the last error handler."""

from __future__ import annotations

import logging
import re
import time
import uuid

from opentelemetry.trace import Span, Status, StatusCode
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.metrics import gauge, histogram
from chassis.problem import Problem
from chassis.telemetry import span

log = logging.getLogger(__name__)
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
UNMATCHED = "unmatched"
PROBES = ("/health/live", "/health/ready", "/metrics")

DURATION = histogram(
    "http_server_request_duration_seconds",
    "How long requests took, by route template.",
    ("http_request_method", "http_route", "http_response_status_code"),
)
ACTIVE = gauge("http_server_active_requests", "Requests being answered.")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class Edge:
    """Wraps an app. `max_body` is the largest request body in bytes; requests to paths that start with one of `quiet`
    make neither spans nor metrics nor log lines.
    """

    def __init__(self, app: ASGIApp, *, max_body: int, quiet: tuple[str, ...] = ()) -> None:
        self._app = app
        self._max_body = max_body
        self._quiet = (*PROBES, *quiet)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; lifespan and websockets go straight through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        given = headers.get("x-request-id", "")
        exchange = Exchange(scope, send, given if REQUEST_ID.fullmatch(given) else str(uuid.uuid4()))
        if scope["path"].startswith(self._quiet):
            await self._answer(exchange, headers, receive)
            return
        attributes = {
            "http.request.method": method,
            "url.path": scope["path"],
            "url.scheme": scope["scheme"],
            "user_agent.original": headers.get("user-agent", ""),
        }
        started = time.perf_counter()
        with ACTIVE.track_inprogress(), span(method, "server", parent=headers, attributes=attributes) as opened:
            await self._answer(exchange, headers, receive)
            seconds = time.perf_counter() - started
            exchange.describe(opened, method)
            DURATION.labels(method, exchange.route, exchange.status).observe(seconds)
            log.info(
                "%s %s %d", method, scope["path"], exchange.status, extra={"duration_ms": round(seconds * 1000, 1)}
            )

    async def _answer(self, exchange: Exchange, headers: Headers, receive: Receive) -> None:
        """Run the app; what it does not catch is logged once and answered with a 500 without details."""
        length = headers.get("content-length", "0")
        try:
            if length.isdecimal() and int(length) > self._max_body:
                await exchange.refuse(self._too_large())
                return
            await self._app(exchange.scope, self._limited(receive), exchange.send)
        except Exception:
            log.exception("unhandled error", extra={"request_id": exchange.request_id})
            if exchange.status:
                raise
            detail = f"The error is logged under request id `{exchange.request_id}`."
            await exchange.refuse(Problem(500, detail=detail))

    def _limited(self, receive: Receive) -> Receive:
        """Count the body as it arrives, for requests without a length."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_body:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> Problem:
        return Problem(413, "Content Too Large", detail=f"The body may have up to {self._max_body} bytes.")


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self.scope = scope
        self.request_id = request_id
        self.status = 0
        self._send = send
        self._head = scope["method"] == "HEAD"
        if self._head:  # answered as GET is, without the body (RFC 9110 §9.3.2)
            scope["method"] = "GET"
        scope.setdefault("state", {})["request_id"] = request_id

    @property
    def route(self) -> str:
        """Return the template of the route that answered, so that ids do not create new time series."""
        context = self.scope.get("fastapi", {}).get("effective_route_context")
        route = context or self.scope.get("route")
        return getattr(route, "path", None) or UNMATCHED

    async def send(self, message: Message) -> None:
        """Pass an answer on, with the request id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            answer = MutableHeaders(scope=message)
            answer["X-Request-Id"] = self.request_id
            answer.setdefault("X-Content-Type-Options", "nosniff")
        elif self._head:
            message = {**message, "body": b""}
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        """Answer with a problem from outside the app."""
        request = Request(self.scope)
        await problem.response(self.scope["path"])(self.scope, request.receive, self.send)

    def describe(self, opened: Span, method: str) -> None:
        """Name the span by method and route template, as the semantic conventions for HTTP require."""
        opened.update_name(f"{method} {self.route}" if self.route != UNMATCHED else method)
        opened.set_attribute("http.route", self.route)
        opened.set_attribute("http.response.status_code", self.status)
        if self.status >= 500:  # noqa: PLR2004 - server errors, RFC 9110
            opened.set_status(Status(StatusCode.ERROR))
