"""Rate, errors and duration of each service, and which service calls which."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from typing import Any

from service.buckets import quantile

_LATEST = 20_000  # spans that the map is drawn from


def overview(connection: sqlite3.Connection, since_s: int, until_s: int) -> dict[str, Any]:
    """Return each service seen in the window (seconds since the epoch) with its figures, and the calls between them."""
    edges = _edges(connection, since_s * 1_000_000_000)
    services = _services(connection, since_s, until_s)
    for name in {end for edge in edges for end in (edge["source"], edge["target"])} - services.keys():
        services[name] = _figures(name, {}, Counter(), until_s - since_s)
    return {"services": [services[name] for name in sorted(services)], "edges": edges}


def operations(connection: sqlite3.Connection, service: str, since_s: int, until_s: int) -> list[dict[str, Any]]:
    """Return the same figures for each operation of a service, the busiest first."""
    buckets: defaultdict[str, Counter[int]] = defaultdict(Counter)
    errors: Counter[str] = Counter()
    rows = connection.execute(
        "SELECT operation, error, bucket, SUM(count) AS count FROM requests"
        " WHERE minute >= ? AND minute <= ? AND service = ? GROUP BY operation, error, bucket",
        (since_s // 60 * 60, until_s, service),
    )
    for row in rows:
        buckets[row["operation"]][row["bucket"]] += row["count"]
        errors[row["operation"]] += row["count"] if row["error"] else 0
    found = [_red(name, buckets[name], errors[name], until_s - since_s) for name in buckets]
    return sorted(found, key=lambda item: (-item["requests"], item["name"]))


def _services(connection: sqlite3.Connection, since_s: int, until_s: int) -> dict[str, dict[str, Any]]:
    rows = connection.execute(
        "SELECT minute, service, error, bucket, SUM(count) AS count FROM requests"
        " WHERE minute >= ? AND minute <= ? GROUP BY minute, service, error, bucket",
        (since_s // 60 * 60, until_s),
    )
    buckets: defaultdict[str, Counter[int]] = defaultdict(Counter)
    minutes: defaultdict[str, defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for row in rows:
        buckets[row["service"]][row["bucket"]] += row["count"]
        at = minutes[row["service"]][row["minute"]]
        at[0] += row["count"]
        at[1] += row["count"] if row["error"] else 0
    return {name: _figures(name, minutes[name], buckets[name], until_s - since_s) for name in buckets}


def _figures(name: str, minutes: dict[int, list[int]], buckets: Counter[int], window_s: int) -> dict[str, Any]:
    errors = sum(failed for _, failed in minutes.values())
    series = [[minute, *minutes[minute]] for minute in sorted(minutes)]
    return _red(name, buckets, errors, window_s) | {"minutes": series}


def _red(name: str, buckets: Counter[int], errors: int, window_s: int) -> dict[str, Any]:
    requests = buckets.total()
    return {
        "name": name,
        "requests": requests,
        "per_second": round(requests / window_s, 4) if window_s else 0.0,
        "errors": errors,
        "error_ratio": round(errors / requests, 4) if requests else 0.0,
        "p50_ms": quantile(buckets, 0.5),
        "p95_ms": quantile(buckets, 0.95),
        "p99_ms": quantile(buckets, 0.99),
    }


def _edges(connection: sqlite3.Connection, since_ns: int) -> list[dict[str, Any]]:
    """Find pairs of services where a span of one has its parent in the other, among the latest spans."""
    rows = connection.execute(
        "SELECT p.service AS source, c.service AS target, c.kind = 'consumer' AS is_event, COUNT(*) AS count,"
        " SUM(c.error) AS errors, AVG(c.duration_ns) / 1e6 AS mean_ms"
        " FROM (SELECT * FROM spans WHERE start_ns >= ? ORDER BY start_ns DESC LIMIT ?) c"
        " JOIN spans p ON p.trace_id = c.trace_id AND p.span_id = c.parent"
        " WHERE p.service <> c.service GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        (since_ns, _LATEST),
    )
    return [
        {
            "source": row["source"],
            "target": row["target"],
            "kind": "event" if row["is_event"] else "call",
            "count": row["count"],
            "errors": row["errors"],
            "mean_ms": round(row["mean_ms"], 3),
        }
        for row in rows
    ]
