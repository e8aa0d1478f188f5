"""OTLP messages (opentelemetry-proto) made of spans, log lines and the metrics of the Prometheus registry."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from prometheus_client import REGISTRY
from prometheus_client.samples import Sample

from chassis.logs import Line

SCOPE = InstrumentationScope(name="chassis")
SEVERITY = {10: 5, 20: 9, 30: 13, 40: 17, 50: 21}  # of Python's levels, in the OpenTelemetry log data model
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


def traces(spans: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
    """Make the request that carries these spans."""
    return encode_spans(spans)


def logs(resource: Resource, lines: Iterable[Line]) -> ExportLogsServiceRequest:
    """Make the request that carries these log lines."""
    records = [
        LogRecord(
            time_unix_nano=line.time_ns,
            observed_time_unix_nano=line.time_ns,
            severity_number=SEVERITY.get(line.level // 10 * 10, 0),  # type: ignore[arg-type]  # an enum's number
            severity_text=line.severity,
            body=AnyValue(string_value=line.message),
            attributes=_attributes({"logger": line.logger, **line.extra}),
            trace_id=bytes.fromhex(line.trace_id),
            span_id=bytes.fromhex(line.span_id),
        )
        for line in lines
    ]
    scope = ScopeLogs(scope=SCOPE, log_records=records)
    return ExportLogsServiceRequest(resource_logs=[ResourceLogs(resource=_resource(resource), scope_logs=[scope])])


def metrics(resource: Resource, started_ns: int) -> ExportMetricsServiceRequest:
    """Make the request that carries the registry's current values; `started_ns` is when counting began."""
    now = time.time_ns()
    found: list[Metric] = []
    for family in REGISTRY.collect():
        if family.type == "counter":
            points = [_number(s, started_ns, now) for s in family.samples if s.name.endswith("_total")]
            name = f"{family.name}_total"
            total = Sum(data_points=points, aggregation_temporality=CUMULATIVE, is_monotonic=True)
            found.append(Metric(name=name, description=family.documentation, sum=total))
        elif family.type == "gauge":
            gauge = Gauge(data_points=[_number(s, 0, now) for s in family.samples])
            found.append(Metric(name=family.name, description=family.documentation, gauge=gauge))
        elif family.type == "histogram":
            histogram = Histogram(
                data_points=_histogram(family.samples, started_ns, now), aggregation_temporality=CUMULATIVE
            )
            found.append(Metric(name=family.name, description=family.documentation, histogram=histogram))
    scope = ScopeMetrics(scope=SCOPE, metrics=found)
    return ExportMetricsServiceRequest(
        resource_metrics=[ResourceMetrics(resource=_resource(resource), scope_metrics=[scope])]
    )


def _number(sample: Sample, started_ns: int, now: int) -> NumberDataPoint:
    return NumberDataPoint(
        attributes=_attributes(sample.labels),
        start_time_unix_nano=started_ns,
        time_unix_nano=now,
        as_double=float(sample.value),
    )


def _histogram(samples: Iterable[Sample], started_ns: int, now: int) -> list[HistogramDataPoint]:
    """Turn cumulative buckets into OTLP's separate ones, a data point for each set of labels."""
    points: dict[tuple[tuple[str, str], ...], HistogramDataPoint] = {}
    below: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        key = tuple(sorted(labels.items()))
        if key not in points:
            points[key] = HistogramDataPoint(
                attributes=_attributes(labels), start_time_unix_nano=started_ns, time_unix_nano=now
            )
        point = points[key]
        if sample.name.endswith("_bucket"):
            point.bucket_counts.append(int(sample.value - below.get(key, 0)))
            below[key] = sample.value
            if sample.labels["le"] != "+Inf":
                point.explicit_bounds.append(float(sample.labels["le"]))
        elif sample.name.endswith("_count"):
            point.count = int(sample.value)
        elif sample.name.endswith("_sum"):
            point.sum = float(sample.value)
    return list(points.values())


def _resource(resource: Resource) -> ResourceMessage:
    return ResourceMessage(attributes=_attributes(dict(resource.attributes)))


def _attributes(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_any(value)) for name, value in values.items()]


def _any(value: Any) -> AnyValue:  # noqa: ANN401 - whatever was logged
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=str(value))
