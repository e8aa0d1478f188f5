"""Converts OTLP messages to records. Malformed ones are rejected one by one, as partial success requires."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from service.records import Decoded, Log, Span, SpanKind

MAX_TEXT = 4096
"""Characters kept of an attribute's text or a log's body."""
MAX_ATTRIBUTES = 128
MAX_EVENTS = 32
_KINDS: tuple[SpanKind, ...] = ("internal", "internal", "server", "client", "producer", "consumer")
_LEVELS = ("UNSPECIFIED", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


def spans(request: ExportTraceServiceRequest) -> Decoded:
    """Read the spans of an export; rejects those whose ids are not 16 and 8 bytes, or all zero."""
    found: list[Span] = []
    rejected = 0
    for group in request.resource_spans:
        service, instance = identity(group.resource)
        for scope in group.scope_spans:
            for item in scope.spans:
                if valid_id(item.trace_id, 16) and valid_id(item.span_id, 8):
                    found.append(_span(item, service, instance))
                else:
                    rejected += 1
    return Decoded(tuple(found), rejected, "a span needs a trace id of 16 bytes and a span id of 8" if rejected else "")


def logs(request: ExportLogsServiceRequest) -> Decoded:
    """Read the log records of an export; rejects those without any time."""
    found: list[Log] = []
    rejected = 0
    for group in request.resource_logs:
        service, instance = identity(group.resource)
        for scope in group.scope_logs:
            for item in scope.log_records:
                if item.time_unix_nano or item.observed_time_unix_nano:
                    found.append(_log(item, service, instance, scope.scope.name))
                else:
                    rejected += 1
    return Decoded(
        tuple(found), rejected, "a log record needs timeUnixNano or observedTimeUnixNano" if rejected else ""
    )


def identity(resource: Resource) -> tuple[str, str]:
    """Return the service's name and instance of a resource."""
    known = attributes(resource.attributes)
    return str(known.get("service.name", "unknown_service")), str(known.get("service.instance.id", ""))


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return attributes as plain values; long texts are cut, those above the limit are left out."""
    return {pair.key[:MAX_TEXT]: plain(pair.value) for pair, _ in zip(pairs, range(MAX_ATTRIBUTES), strict=False)}


def plain(value: AnyValue) -> Any:  # noqa: ANN401 - any JSON
    """Convert an AnyValue to a JSON value; bytes become hex."""
    field = value.WhichOneof("value")
    found: Any = getattr(value, field) if field else None
    match field:
        case "array_value":
            return [plain(item) for item in found.values[:MAX_ATTRIBUTES]]
        case "kvlist_value":
            return attributes(found.values)
        case "string_value":
            return found[:MAX_TEXT]
        case "bytes_value":
            return found[: MAX_TEXT // 2].hex()
        case "double_value" if not math.isfinite(found):
            return str(found)  # JSON has no infinity
    return found


def valid_id(data: bytes, length: int) -> bool:
    """Return whether an id has its length and is not all zero (W3C Trace Context)."""
    return len(data) == length and any(data)


def _span(item: trace_pb2.Span, service: str, instance: str) -> Span:
    known = 0 <= item.kind < len(_KINDS)
    return Span(
        trace_id=item.trace_id.hex(),
        span_id=item.span_id.hex(),
        parent=item.parent_span_id.hex() if valid_id(item.parent_span_id, 8) else "",
        service=service,
        instance=instance,
        name=item.name[:MAX_TEXT],
        kind=_KINDS[item.kind] if known else "internal",
        start_ns=_nanoseconds(item.start_time_unix_nano),
        duration_ns=max(0, _nanoseconds(item.end_time_unix_nano) - _nanoseconds(item.start_time_unix_nano)),
        error=item.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        message=item.status.message[:MAX_TEXT],
        attributes=attributes(item.attributes),
        events=tuple(_events(item)),
    )


def _events(item: trace_pb2.Span) -> Iterator[dict[str, Any]]:
    for event in item.events[:MAX_EVENTS]:
        offset = _nanoseconds(event.time_unix_nano) - _nanoseconds(item.start_time_unix_nano)
        yield {"name": event.name[:MAX_TEXT], "offset_ms": offset / 1e6, "attributes": attributes(event.attributes)}


def _log(item: LogRecord, service: str, instance: str, logger: str) -> Log:
    body = plain(item.body)
    known = attributes(item.attributes)
    if logger:
        known.setdefault("logger", logger)
    severity = item.severity_number if 0 <= item.severity_number <= 24 else 0  # noqa: PLR2004 - OTLP's last number
    return Log(
        time_ns=_nanoseconds(item.time_unix_nano or item.observed_time_unix_nano),
        service=service,
        instance=instance,
        severity=severity,
        level=item.severity_text[:16].upper() or _LEVELS[(severity + 3) // 4],
        body=body if isinstance(body, str) else str(body)[:MAX_TEXT],
        trace_id=item.trace_id.hex() if valid_id(item.trace_id, 16) else "",
        span_id=item.span_id.hex() if valid_id(item.span_id, 8) else "",
        attributes=known,
    )


def _nanoseconds(value: int) -> int:
    """OTLP's times are unsigned, SQLite's integers signed: what cannot be a date is clamped to the largest one."""
    return min(value, 2**63 - 1)
