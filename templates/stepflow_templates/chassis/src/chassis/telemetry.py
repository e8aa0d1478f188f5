"""Traces and logs: kept in a bounded buffer until `config/telemetry` says where they go, then exported as OTLP.

Spans follow OpenTelemetry's semantic conventions and W3C Trace Context; a malformed `traceparent` starts a new trace.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes, AttributeValue

Kind = Literal["internal", "server", "client", "producer", "consumer"]
BUFFERED = 4096  # spans, and log records, that wait for an exporter; the oldest go first

_propagator = TraceContextTextMapPropagator()
_provider: TracerProvider | None = None


class AdjustableSampler(Sampler):
    """Samples by trace id at a ratio that may change while the service runs; a parent's decision is kept."""

    def __init__(self) -> None:
        self._decide: Sampler = ParentBased(TraceIdRatioBased(1.0))

    def set_ratio(self, ratio: float) -> None:
        """Sample this fraction of new traces, 0 to 1."""
        self._decide = ParentBased(TraceIdRatioBased(min(1.0, max(0.0, ratio))))

    def should_sample(  # noqa: PLR0917 - the SDK's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Delegate to the current sampler."""
        return self._decide.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """Return the sampler's description."""
        return self._decide.get_description()


class Buffer(SpanProcessor):
    """Keeps ended spans until they are taken."""

    def __init__(self) -> None:
        self._spans: deque[ReadableSpan] = deque(maxlen=BUFFERED)

    def on_end(self, span: ReadableSpan) -> None:
        """Keep the span if it is sampled."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._spans.append(span)

    def take(self, limit: int) -> list[ReadableSpan]:
        """Take up to `limit` spans, the oldest first."""
        return [self._spans.popleft() for _ in range(min(limit, len(self._spans)))]

    def put_back(self, spans: Sequence[ReadableSpan]) -> None:
        """Return spans that could not be delivered, as far as there is room for them."""
        room = BUFFERED - len(self._spans)
        self._spans.extendleft(reversed(spans[-room:] if room else ()))


class Telemetry:
    """The service's spans and the resource that they belong to. The newest one is what `span()` uses."""

    def __init__(self, service: str, instance: str, version: str) -> None:
        global _provider  # noqa: PLW0603 - one process is one service; spans need no object passed around
        self.resource = Resource({"service.name": service, "service.instance.id": instance, "service.version": version})
        self.sampler = AdjustableSampler()
        self.spans = Buffer()
        self.lines: deque[Any] = deque()
        """Log lines (`chassis.logs.Line`) that wait for an exporter."""
        self._provider = _provider = TracerProvider(
            sampler=self.sampler, resource=self.resource, shutdown_on_exit=False
        )
        self._provider.add_span_processor(self.spans)


@contextmanager
def span(
    name: str,
    kind: Kind = "internal",
    *,
    parent: str | Mapping[str, str] | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[trace.Span]:
    """Open a span as the current one; an exception marks it as failed and goes on.

    `parent` is a `traceparent` from elsewhere, or headers that may hold one beside `tracestate`; without it the current
    span is the parent.
    """
    if _provider is None:
        yield trace.INVALID_SPAN
        return
    carrier = {"traceparent": parent} if isinstance(parent, str) else parent
    context = None if carrier is None else _propagator.extract(carrier, Context())
    tracer = _provider.get_tracer("chassis")
    with tracer.start_as_current_span(
        name, context, SpanKind[kind.upper()], attributes, record_exception=False, set_status_on_exception=False
    ) as opened:
        try:
            yield opened
        except Exception as error:
            opened.set_attribute("error.type", type(error).__qualname__)
            opened.set_status(Status(StatusCode.ERROR, str(error)[:200]))
            raise


def past_span(
    name: str,
    seconds: float,
    attributes: Mapping[str, AttributeValue],
    error: str = "",
    *,
    kind: Kind = "client",
    parent: str = "",
) -> None:
    """Add a span that ended just now after so many seconds: below `parent`, a `traceparent` from elsewhere, or below
    the current span; without either, no span is added.
    """
    if _provider is None or not (parent or trace.get_current_span().is_recording()):
        return
    context = _propagator.extract({"traceparent": parent}, Context()) if parent else None
    end = time.time_ns()
    tracer = _provider.get_tracer("chassis")
    start = end - int(seconds * 1_000_000_000)
    past = tracer.start_span(name, context, SpanKind[kind.upper()], attributes, start_time=start)
    if error:
        past.set_attribute("error.type", error)
        past.set_status(Status(StatusCode.ERROR))
    past.end(end)


def current_traceparent() -> str | None:
    """Return the current span's W3C `traceparent`, None outside any span."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


def current_ids() -> tuple[str, str]:
    """Return the current trace id and span id in hex, empty outside any span."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return "", ""
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)


def service_name() -> str:
    """Name the service of this process, `unknown_service` before there is one."""
    return str(_provider.resource.attributes["service.name"]) if _provider else "unknown_service"
