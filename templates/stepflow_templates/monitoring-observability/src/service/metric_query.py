"""Queries of metrics: the list, and a series over time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from service.retention import RAW_SECONDS

Statistic = Literal["value", "rate", "mean", "p50", "p95", "p99"]
STATISTICS: dict[str, tuple[Statistic, ...]] = {
    "gauge": ("value",),
    "counter": ("rate", "value"),
    "delta": ("rate", "value"),
    "histogram": ("p95", "p50", "p99", "mean", "rate"),
}
"""The statistics of each kind; the first is the default."""
MAX_SERIES = 40
_QUANTILES: dict[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Sample:
    """One stored point: second, value (a histogram's sum), count, and the counts of buckets."""

    time_s: int
    value: float
    count: int
    buckets: tuple[int, ...]


def names(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return every metric with its kind, unit, description, sources, and how it can be queried."""
    rows = connection.execute(
        "SELECT name, kind, unit, description, COUNT(*) AS series, json_group_array(DISTINCT service) AS services"
        " FROM series GROUP BY name ORDER BY name"
    )
    return [
        {**dict(row), "services": sorted(json.loads(row["services"])), "statistics": STATISTICS[row["kind"]]}
        for row in rows
    ]


def series(
    connection: sqlite3.Connection, name: str, service: str, statistic: Statistic | None, window: tuple[int, int]
) -> dict[str, Any] | None:
    """Return a metric's series in a window of seconds, the most active first, at most `MAX_SERIES`; None if unknown.

    Raises `ValueError` when this kind of metric does not have the statistic.
    """
    found = connection.execute(
        "SELECT * FROM series WHERE name = ? AND (? = '' OR service = ?)", (name, service, service)
    ).fetchall()
    if not found:
        return None
    kind = found[0]["kind"]
    asked = statistic or STATISTICS[kind][0]
    if asked not in STATISTICS[kind]:
        raise ValueError(f"`{asked}` cannot be asked of a {kind}: ask {', '.join(STATISTICS[kind])}")
    table = "points" if window[1] - window[0] <= RAW_SECONDS else "minutes"
    drawn = [_drawn(row, _samples(connection, table, row["id"], window), asked) for row in found]
    lines = sorted((line for line in drawn if line["points"]), key=lambda line: -abs(line["points"][-1][1]))
    return {
        "name": name,
        "kind": kind,
        "unit": found[0]["unit"],
        "description": found[0]["description"],
        "statistic": asked,
        "total_series": len(found),
        "series": lines[:MAX_SERIES],
    }


def evaluate(
    samples: Sequence[Sample], kind: str, statistic: Statistic, bounds: Sequence[float]
) -> Iterator[tuple[int, float]]:
    """Turn samples into a statistic; a cumulative value that falls was restarted, and counts from zero."""
    if statistic == "value":
        yield from ((sample.time_s, sample.value) for sample in samples)
        return
    for before, after in pairwise(samples):
        seconds = after.time_s - before.time_s
        restarted = after.count < before.count if kind == "histogram" else after.value < before.value
        if statistic == "rate":
            amount = after.value if kind == "delta" else _grown(before, after, kind, restarted=restarted)
            yield after.time_s, amount / seconds
            continue
        count = after.count - (0 if restarted else before.count)
        if count and statistic == "mean":
            yield after.time_s, (after.value - (0.0 if restarted else before.value)) / count
        elif count and statistic in _QUANTILES and after.buckets:
            old = (
                before.buckets
                if not restarted and len(before.buckets) == len(after.buckets)
                else (0,) * len(after.buckets)
            )
            grown = [new - was for new, was in zip(after.buckets, old, strict=True)]
            yield after.time_s, histogram_quantile(grown, bounds, _QUANTILES[statistic])


def histogram_quantile(counts: Sequence[int], bounds: Sequence[float], part: float) -> float:
    """Estimate a quantile by linear interpolation within its bucket; the last one has only its lower bound."""
    rank = part * sum(counts)
    seen = 0
    for index, count in enumerate(counts):
        if count and seen + count >= rank:
            if index >= len(bounds):
                break
            lower = bounds[index - 1] if index else min(0.0, bounds[0])
            return lower + (bounds[index] - lower) * (rank - seen) / count
        seen += count
    return bounds[-1] if bounds else 0.0


def _grown(before: Sample, after: Sample, kind: str, *, restarted: bool) -> float:
    now, was = (after.count, before.count) if kind == "histogram" else (after.value, before.value)
    return now if restarted else now - was


def _samples(connection: sqlite3.Connection, table: str, series_id: int, window: tuple[int, int]) -> list[Sample]:
    statement = (
        f"SELECT time_s, value, count, buckets FROM {table}"  # noqa: S608 - one of two names
        " WHERE series = ? AND time_s BETWEEN ? AND ? ORDER BY time_s"
    )
    rows = connection.execute(statement, (series_id, *window))
    return [
        Sample(row["time_s"], row["value"], row["count"], tuple(json.loads(row["buckets"] or "[]"))) for row in rows
    ]


def _drawn(row: sqlite3.Row, samples: Sequence[Sample], statistic: Statistic) -> dict[str, Any]:
    values = evaluate(samples, row["kind"], statistic, json.loads(row["bounds"] or "[]"))
    return {
        "service": row["service"],
        "instance": row["instance"],
        "attributes": json.loads(row["attributes"]),
        "points": [[time_s, value] for time_s, value in values],
    }
