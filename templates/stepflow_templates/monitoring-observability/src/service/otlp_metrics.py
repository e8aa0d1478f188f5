"""Converts OTLP metrics to points: gauges, sums and histograms; summaries and exponential histograms are rejected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)

from service.otlp import MAX_TEXT, attributes, identity
from service.records import Decoded, MetricKind, Point

MAX_BUCKETS = 256
Source = tuple[str, str]  # service, instance


@dataclass(slots=True)
class _Rejections:
    count: int = 0
    reason: str = ""

    def add(self, count: int, reason: str) -> None:
        self.count += count
        self.reason = self.reason or reason


def points(request: ExportMetricsServiceRequest) -> Decoded:
    """Read the points of an export; rejects what cannot be kept, with the name of the first such metric."""
    found: list[Point] = []
    rejected = _Rejections()
    for group in request.resource_metrics:
        source = identity(group.resource)
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                found += _metric(metric, source, rejected)
    return Decoded(tuple(found), rejected.count, rejected.reason)


def _metric(metric: Metric, source: Source, rejected: _Rejections) -> Iterator[Point]:
    match metric.WhichOneof("data"):
        case "gauge":
            yield from _numbers(metric, metric.gauge.data_points, "gauge", source, rejected)
        case "sum":
            yield from _numbers(metric, metric.sum.data_points, _sum_kind(metric), source, rejected)
        case "histogram":
            yield from _histograms(metric, source, rejected)
        case "summary":
            rejected.add(len(metric.summary.data_points), f"`{metric.name}`: summaries are not kept")
        case "exponential_histogram":
            count = len(metric.exponential_histogram.data_points)
            rejected.add(count, f"`{metric.name}`: exponential histograms are not kept, send explicit buckets")
        case _:
            pass


def _sum_kind(metric: Metric) -> MetricKind:
    if metric.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA:
        return "delta"
    return "counter" if metric.sum.is_monotonic else "gauge"


def _numbers(
    metric: Metric, data: Iterable[NumberDataPoint], kind: MetricKind, source: Source, rejected: _Rejections
) -> Iterator[Point]:
    for item in data:
        value = float(item.as_int) if item.WhichOneof("value") == "as_int" else item.as_double
        if math.isfinite(value):
            yield replace(_point(metric, item, kind, source), value=value)
        else:
            rejected.add(1, f"`{metric.name}`: {value} is not a finite number")


def _histograms(metric: Metric, source: Source, rejected: _Rejections) -> Iterator[Point]:
    data = metric.histogram.data_points
    if metric.histogram.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA:
        rejected.add(len(data), f"`{metric.name}`: histograms of delta temporality are not kept, send cumulative ones")
        return
    for item in data:
        buckets, bounds = tuple(item.bucket_counts), tuple(item.explicit_bounds)
        if len(buckets) > MAX_BUCKETS or (buckets and len(buckets) != len(bounds) + 1) or not math.isfinite(item.sum):
            rejected.add(1, f"`{metric.name}`: a histogram needs a finite sum and one bucket more than bounds")
            continue
        made = _point(metric, item, "histogram", source)
        yield replace(made, value=item.sum, count=item.count, bounds=bounds, buckets=buckets)


def _point(metric: Metric, item: NumberDataPoint | HistogramDataPoint, kind: MetricKind, source: Source) -> Point:
    return Point(
        time_ns=min(item.time_unix_nano, 2**63 - 1),
        service=source[0],
        instance=source[1],
        name=metric.name[:MAX_TEXT],
        kind=kind,
        unit=metric.unit[:MAX_TEXT],
        description=metric.description[:MAX_TEXT],
        attributes=attributes(item.attributes),
        value=0.0,
    )
