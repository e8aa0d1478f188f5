"""What arrives as OTLP becomes records, or is refused with a reason."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from service import otlp, otlp_metrics, wire
from service.records import Log, Point, Span
from service.wire import RefusedError

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "orders"}}]}


def traces(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"spans": list(spans)}]}]}


def span(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {
        "traceId": TRACE,
        "spanId": SPAN,
        "parentSpanId": "00f067aa0ba902b7",
        "name": "POST /api/orders",
        "kind": 2,
        "startTimeUnixNano": "1700000000000000000",
        "endTimeUnixNano": "1700000000025000000",
        "status": {"code": 2, "message": "declined"},
        "attributes": [
            {"key": "http.response.status_code", "value": {"intValue": "402"}},
            {"key": "ratio", "value": {"doubleValue": "Infinity"}},
            {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": True}, {"stringValue": "x"}]}}},
        ],
    } | changes


def decoded(message: Any, document: dict[str, Any]) -> Any:  # noqa: ANN401 - protobuf
    wire.parse(json.dumps(document).encode(), wire.JSON, message)
    return message


def test_span_in_json_is_read_with_hex_ids_and_plain_attributes() -> None:
    (found,) = otlp.spans(decoded(ExportTraceServiceRequest(), traces(span()))).records
    assert isinstance(found, Span)
    assert (found.trace_id, found.span_id, found.parent) == (TRACE, SPAN, "00f067aa0ba902b7")
    assert (found.service, found.kind, found.error, found.message) == ("orders", "server", True, "declined")
    assert (found.start_ns, found.duration_ns) == (1_700_000_000_000_000_000, 25_000_000)
    assert found.attributes == {"http.response.status_code": 402, "ratio": "inf", "list": [True, "x"]}


def test_protobuf_and_json_give_the_same_records() -> None:
    message = decoded(ExportTraceServiceRequest(), traces(span()))
    again = ExportTraceServiceRequest()
    wire.parse(message.SerializeToString(), wire.PROTOBUF, again)
    assert otlp.spans(again) == otlp.spans(message)


@pytest.mark.parametrize("trace_id", ["", "00" * 16, "ab"])
def test_span_without_a_proper_trace_id_is_rejected_while_others_are_kept(trace_id: str) -> None:
    found = otlp.spans(decoded(ExportTraceServiceRequest(), traces(span(traceId=trace_id), span())))
    assert (len(found.records), found.rejected) == (1, 1)
    assert found.reason == "a span needs a trace id of 16 bytes and a span id of 8"


def test_log_record_keeps_its_trace_and_gets_its_level_from_the_number() -> None:
    record = {"timeUnixNano": "5", "severityNumber": 17, "body": {"stringValue": "boom"}, "traceId": TRACE}
    document = {"resourceLogs": [{"resource": RESOURCE, "scopeLogs": [{"logRecords": [record, {}]}]}]}
    found = otlp.logs(decoded(ExportLogsServiceRequest(), document))
    (log,) = found.records
    assert isinstance(log, Log)
    assert (log.level, log.body, log.trace_id, log.service) == ("ERROR", "boom", TRACE, "orders")
    assert found.rejected == 1


def metrics(name: str, data: dict[str, Any]) -> Any:  # noqa: ANN401 - protobuf
    group = {"resource": RESOURCE, "scopeMetrics": [{"metrics": [{"name": name, "unit": "s"} | data]}]}
    return decoded(ExportMetricsServiceRequest(), {"resourceMetrics": [group]})


def test_sums_gauges_and_histograms_become_points() -> None:
    point = {"timeUnixNano": "9", "asInt": "7"}
    total = metrics("made", {"sum": {"isMonotonic": True, "aggregationTemporality": 2, "dataPoints": [point]}})
    level = metrics("level", {"gauge": {"dataPoints": [point]}})
    took = {"timeUnixNano": "9", "count": "3", "sum": 1.5, "bucketCounts": ["1", "2"], "explicitBounds": [0.5]}
    duration = metrics("took", {"histogram": {"aggregationTemporality": 2, "dataPoints": [took]}})
    points = [item for m in (total, level, duration) for item in otlp_metrics.points(m).records]
    assert [(p.kind, p.value, p.count) for p in points if isinstance(p, Point)] == [
        ("counter", 7.0, 0), ("gauge", 7.0, 0), ("histogram", 1.5, 3),
    ]  # fmt: skip


def test_what_cannot_be_kept_is_rejected_by_the_name_of_its_metric() -> None:
    summary = otlp_metrics.points(metrics("old", {"summary": {"dataPoints": [{}, {}]}}))
    assert (summary.rejected, summary.reason) == (2, "`old`: summaries are not kept")
    broken = {"bucketCounts": ["1"], "explicitBounds": [1, 2]}
    histogram = {"histogram": {"aggregationTemporality": 2, "dataPoints": [broken]}}
    assert otlp_metrics.points(metrics("odd", histogram)).rejected == 1


@pytest.mark.parametrize(
    ("body", "encoding", "status", "reason"),
    [
        (b"no gzip", "gzip", 400, "the body is not gzip"),
        (gzip.compress(b"abc" * 1000)[:-9], "gzip", 400, "the gzip body ends too early"),
        (gzip.compress(b"0" * (wire.MAX_BYTES + 1)), "gzip", 413, "larger than 16777216 bytes when decompressed"),
        (b"", "br", 415, "Content-Encoding `br` is not supported: send gzip or none"),
    ],
)
def test_body_that_cannot_be_decompressed_is_refused(body: bytes, encoding: str, status: int, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason) as refused:
        wire.decompress(body, encoding)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"\xff\xff\xff", wire.PROTOBUF),
        (b"{", wire.JSON),
        (b"[]", wire.JSON),
        (b"[" * 100_000, wire.JSON),
        (b'{"resourceSpans": 5}', wire.JSON),
        (json.dumps(traces(span(traceId="xyz"))).encode(), wire.JSON),
        (json.dumps(traces(span(startTimeUnixNano="-1"))).encode(), wire.JSON),
    ],
)
def test_body_that_is_not_such_a_message_is_refused(body: bytes, media: str) -> None:
    with pytest.raises(RefusedError) as refused:
        wire.parse(body, media, ExportTraceServiceRequest())
    assert refused.value.status == 400
