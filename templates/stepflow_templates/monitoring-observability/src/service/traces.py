"""Queries of traces: one by its id, and a search."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

MAX_SPANS = 5_000
"""Shown of one trace."""
_SEARCHED = 100_000  # spans that one search reads, the newest


@dataclass(frozen=True, slots=True)
class TraceSearch:
    """The search; `before_ns` continues where the previous page ended."""

    since_ns: int
    before_ns: int
    service: str = ""
    min_ms: float = 0.0
    error: bool | None = None
    q: str = ""
    limit: int = 50
    without: str = ""  # traces that have a span of this service are left out


def timestamp(time_ns: int) -> str:
    """Format a time as RFC 3339 with microseconds; one outside the calendar's range becomes the end of it."""
    try:
        moment = datetime.fromtimestamp(time_ns / 1e9, UTC)
    except (OverflowError, ValueError, OSError):
        moment = datetime.max.replace(tzinfo=UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def trace(connection: sqlite3.Connection, trace_id: str) -> list[dict[str, Any]]:
    """Return the spans of a trace by start, at most `MAX_SPANS`; [] for an unknown one."""
    rows = connection.execute(
        "SELECT * FROM spans WHERE trace_id = ? ORDER BY start_ns, span_id LIMIT ?", (trace_id.lower(), MAX_SPANS)
    )
    return [
        {
            "service": row["service"],
            "instance": row["instance"],
            "name": row["name"],
            "title": title(row["name"], json.loads(row["attributes"])),
            "kind": row["kind"],
            "span_id": row["span_id"],
            "parent": row["parent"] or None,
            "start": timestamp(row["start_ns"]),
            "start_ns": str(row["start_ns"]),
            "duration_ms": row["duration_ns"] / 1e6,
            "status": "error" if row["error"] else "ok",
            "message": row["message"],
            "attributes": json.loads(row["attributes"]),
            "events": json.loads(row["events"]),
        }
        for row in rows
    ]


def title(name: str, attributes: Mapping[str, Any]) -> str:
    """Name a span for people: a proxy's bare `ingress` gets the method and path from its attributes."""
    method = attributes.get("http.request.method") or attributes.get("http.method")
    target = attributes.get("url.path") or attributes.get("http.target") or attributes.get("http.url")
    if "/" in name or not method or not target:
        return name
    path = urlsplit(str(target)).path or "/"
    return f"{method} {path}" if name in {method, "ingress"} else f"{name} {method} {path}"


def count(connection: sqlite3.Connection, trace_id: str) -> int:
    """Return the number of a trace's spans."""
    row = connection.execute("SELECT COUNT(*) FROM spans WHERE trace_id = ?", (trace_id.lower(),)).fetchone()
    return int(row[0])


def search(connection: sqlite3.Connection, wanted: TraceSearch) -> list[dict[str, Any]]:
    """Return the newest traces that have a matching span, each with its root, its services and how long it took."""
    where = ["start_ns >= ?", "start_ns < ?"]
    values: list[Any] = [wanted.since_ns, wanted.before_ns]
    if wanted.service:
        where.append("service = ?")
        values.append(wanted.service)
    if wanted.min_ms:
        where.append("duration_ns >= ?")
        values.append(round(wanted.min_ms * 1e6))
    if wanted.error is not None:
        where.append("error = ?")
        values.append(int(wanted.error))
    if wanted.q:
        where.append(r"(trace_id = ? OR name LIKE ? ESCAPE '\' OR attributes LIKE ? ESCAPE '\')")
        values += [wanted.q.lower(), *[_containing(wanted.q)] * 2]
    if wanted.without:
        where.append("trace_id NOT IN (SELECT trace_id FROM spans WHERE start_ns >= ? AND service = ?)")
        values += [wanted.since_ns, wanted.without]
    matching = f"SELECT trace_id, start_ns FROM spans WHERE {' AND '.join(where)}"  # noqa: S608 - conditions from above
    statement = (
        f"SELECT trace_id, MAX(start_ns) AS newest FROM ({matching} ORDER BY start_ns DESC LIMIT ?)"  # noqa: S608 - likewise
        " GROUP BY trace_id ORDER BY newest DESC LIMIT ?"
    )
    found = connection.execute(statement, (*values, _SEARCHED, wanted.limit)).fetchall()
    return [_summary(connection, row["trace_id"], row["newest"]) for row in found]


def _summary(connection: sqlite3.Connection, trace_id: str, newest: int) -> dict[str, Any]:
    rows = connection.execute(
        "SELECT span_id, parent, service, name, start_ns, duration_ns, error, attributes FROM spans WHERE trace_id = ?"
        " ORDER BY start_ns LIMIT ?",
        (trace_id, MAX_SPANS),
    ).fetchall()
    ids = {row["span_id"] for row in rows}
    root = next((row for row in rows if row["parent"] not in ids), rows[0])
    start = rows[0]["start_ns"]
    return {
        "trace_id": trace_id,
        "service": root["service"],
        "name": title(root["name"], json.loads(root["attributes"])),
        "start": timestamp(start),
        "duration_ms": (max(row["start_ns"] + row["duration_ns"] for row in rows) - start) / 1e6,
        "spans": len(rows),
        "services": sorted({row["service"] for row in rows}),
        "errors": sum(row["error"] for row in rows),
        "newest_ns": str(newest),
    }


def _containing(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"
