"""The API's response models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from service.metric_query import Statistic


class SpanView(BaseModel):
    """One span, by its name and a title for people; `start_ns` is text, as JavaScript's numbers end at 2^53."""

    service: str
    instance: str
    name: str
    title: str
    kind: str
    span_id: str
    parent: str | None
    start: str
    start_ns: str
    duration_ms: float
    status: Literal["ok", "error"]
    message: str
    attributes: dict[str, Any]
    events: list[dict[str, Any]]


class TraceView(BaseModel):
    """One trace, its spans by start."""

    trace_id: str
    spans: list[SpanView]


class TraceSummary(BaseModel):
    """One trace in a list."""

    trace_id: str
    service: str
    name: str
    start: str
    duration_ms: float
    spans: int
    services: list[str]
    errors: int


class LogView(BaseModel):
    """One log record."""

    time: str
    service: str
    instance: str
    level: str
    severity: int
    message: str
    trace_id: str | None
    span_id: str | None
    attributes: dict[str, Any]


class Red(BaseModel):
    """Rate, errors and duration."""

    name: str
    requests: int
    per_second: float
    errors: int
    error_ratio: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class ServiceView(Red):
    """The same of one service; `minutes` are [second of the epoch, requests, errors]."""

    minutes: list[tuple[int, int, int]]


class Edge(BaseModel):
    """One service calls another, or handles its events."""

    source: str
    target: str
    kind: Literal["call", "event"]
    count: int
    errors: int
    mean_ms: float


class Overview(BaseModel):
    """All services and the map."""

    since: str
    until: str
    services: list[ServiceView]
    edges: list[Edge]


class Operations(BaseModel):
    """The operations of a service, the busiest first."""

    items: list[Red]


class MetricName(BaseModel):
    """An available metric."""

    name: str
    kind: str
    unit: str
    description: str
    series: int
    services: list[str]
    statistics: list[Statistic]


class Series(BaseModel):
    """One line of a chart: [second of the epoch, value]."""

    service: str
    instance: str
    attributes: dict[str, Any]
    points: list[tuple[int, float]]


class MetricView(BaseModel):
    """One metric's lines."""

    name: str
    kind: str
    unit: str
    description: str
    statistic: Statistic
    total_series: int
    series: list[Series]


class MetricNames(BaseModel):
    """All metrics."""

    items: list[MetricName]
