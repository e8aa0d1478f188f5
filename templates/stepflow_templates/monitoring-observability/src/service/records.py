"""What is kept of telemetry: spans, log records and metric points, free of any wire format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Attributes = Mapping[str, Any]
SpanKind = Literal["internal", "server", "client", "producer", "consumer"]
MetricKind = Literal["gauge", "counter", "delta", "histogram"]


@dataclass(frozen=True, slots=True)
class Span:
    """One operation of one service. Times are nanoseconds since the epoch; ids are hex, `parent` may be ""."""

    trace_id: str
    span_id: str
    parent: str
    service: str
    instance: str
    name: str
    kind: SpanKind
    start_ns: int
    duration_ns: int
    error: bool
    message: str
    attributes: Attributes
    events: tuple[Attributes, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """One log record; `severity` is OTLP's number, 1 (trace) to 24 (fatal)."""

    time_ns: int
    service: str
    instance: str
    severity: int
    level: str
    body: str
    trace_id: str
    span_id: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one series. A histogram's value is its sum, beside the count and the counts of its buckets.

    `counter` and `histogram` are cumulative; `delta` is what came since the last point.
    """

    time_ns: int
    service: str
    instance: str
    name: str
    kind: MetricKind
    unit: str
    description: str
    attributes: Attributes
    value: float
    count: int = 0
    bounds: tuple[float, ...] = ()
    buckets: tuple[int, ...] = ()


Record = Span | Log | Point


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one export held: what can be kept, how much cannot, and why not."""

    records: tuple[Record, ...]
    rejected: int = 0
    reason: str = ""
