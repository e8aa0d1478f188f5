"""Inserts records into tables, inside the writer's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable

from service.buckets import bucket_of
from service.records import Attributes, Log, Point, Record, Span

MAX_SERIES = 20_000
MAX_OPERATIONS = 2_000
OTHER = "other"
"""Stands for operations beyond `MAX_OPERATIONS`: names that hold ids must not fill the file."""
_ENTRIES = ("server", "consumer")
_SPAN = f"INSERT OR IGNORE INTO spans VALUES ({','.join('?' * 13)})"  # noqa: S608 - question marks only
_LOG = (
    "INSERT INTO logs (time_ns, service, instance, severity, level, body, trace_id, span_id, attributes)"
    " VALUES (?,?,?,?,?,?,?,?,?)"
)
_REQUESTS = "INSERT INTO requests VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE SET count = count + excluded.count"
_SERIES = (
    "INSERT INTO series (name, service, instance, kind, unit, description, attributes, bounds) VALUES (?,?,?,?,?,?,?,?)"
    " ON CONFLICT DO UPDATE SET kind = excluded.kind RETURNING id"
)
_POINT = "INSERT OR REPLACE INTO points VALUES (?,?,?,?,?)"
_MINUTE = (
    "INSERT INTO minutes VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET"
    " value = excluded.value, count = excluded.count, buckets = excluded.buckets"
)
_SUMMED = "INSERT INTO minutes VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET value = value + excluded.value"


class Inserts:
    """Writes records, and remembers the ids of series."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._series: dict[tuple[str, ...], int] = {}
        self._operations: set[tuple[str, str]] = set()

    def forget(self) -> None:
        """Forget the ids of a transaction that failed."""
        self._series.clear()

    def write(self, records: Iterable[Record]) -> None:
        """Write them; a span that is already stored (an export sent twice) is not counted again."""
        requests: Counter[tuple[int, str, str, int, int]] = Counter()
        for record in records:
            if isinstance(record, Span):
                if self._span(record) and record.kind in _ENTRIES:
                    requests[self._request(record)] += 1
            elif isinstance(record, Log):
                self._log(record)
            else:
                self._point(record)
        self._connection.executemany(_REQUESTS, [(*key, count) for key, count in requests.items()])

    def _span(self, span: Span) -> bool:
        row = (
            span.trace_id, span.span_id, span.parent, span.service, span.instance, span.name, span.kind,
            span.start_ns, span.duration_ns, int(span.error), span.message, _json(span.attributes), _json(span.events),
        )  # fmt: skip
        return self._connection.execute(_SPAN, row).rowcount == 1

    def _request(self, span: Span) -> tuple[int, str, str, int, int]:
        operation = (span.service, span.name)
        if operation not in self._operations and len(self._operations) < MAX_OPERATIONS:
            self._operations.add(operation)
        name = span.name if operation in self._operations else OTHER
        minute = span.start_ns // 60_000_000_000 * 60
        return minute, span.service, name, int(span.error), bucket_of(span.duration_ns)

    def _log(self, record: Log) -> None:
        row = (
            record.time_ns, record.service, record.instance, record.severity, record.level, record.body,
            record.trace_id, record.span_id, _json(record.attributes),
        )  # fmt: skip
        self._connection.execute(_LOG, row)

    def _point(self, point: Point) -> None:
        series = self._series_id(point)
        if series is None:
            return
        time_s = point.time_ns // 1_000_000_000
        buckets = _json(point.buckets) if point.buckets else ""
        value = (point.value, point.count, buckets)
        self._connection.execute(_POINT, (series, time_s, *value))
        self._connection.execute(_SUMMED if point.kind == "delta" else _MINUTE, (series, time_s // 60 * 60, *value))

    def _series_id(self, point: Point) -> int | None:
        """Return the series' id; None when the limit of series is reached."""
        key = (point.name, point.service, point.instance, _json(point.attributes), _json(point.bounds))
        known = self._series.get(key)
        if known is not None or len(self._series) >= MAX_SERIES:
            return known
        row = (*key[:3], point.kind, point.unit, point.description, *key[3:])
        made: int = self._connection.execute(_SERIES, row).fetchone()[0]
        self._series[key] = made
        return made


def _json(value: Attributes | tuple[object, ...]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
