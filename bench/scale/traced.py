"""What an order does, read from the spans that the platform itself recorded of it."""

from __future__ import annotations

import json
import sqlite3
import statistics
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from scale.queueing import quantile

APPEND = "pg_advisory_xact_lock"
NOTIFY = "pg_notify"
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """One span; times in seconds."""

    service: str
    name: str
    start: float
    seconds: float
    query: str
    id: str
    parent: str

    @property
    def end(self) -> float:
        """When it was over."""
        return self.start + self.seconds


def spans_of(folder: Path, traces: Collection[str]) -> list[list[Span]]:
    """The spans of each of these traces that reached its end: the mail was handed over."""
    with closing(sqlite3.connect(f"file:{folder / 'telemetry.sqlite'}?mode=ro", uri=True)) as file:
        found = [_read(file, trace) for trace in traces]
    return [spans for spans in found if any(span.name == "publish notifications.v1.sent" for span in spans)]


def recorded(folder: Path, since: float) -> dict[str, int]:
    """How many spans each service recorded since then (Unix time), those of no order's trace included."""
    question = "SELECT service, count(*) FROM spans WHERE start_ns > ? GROUP BY service"
    with closing(sqlite3.connect(f"file:{folder / 'telemetry.sqlite'}?mode=ro", uri=True)) as file:
        return dict(file.execute(question, (int(since * NANOSECONDS),)).fetchall())


def _read(file: sqlite3.Connection, trace: str) -> list[Span]:
    question = (
        "SELECT service, name, start_ns, duration_ns, attributes, span_id, parent FROM spans"
        " WHERE trace_id = ? ORDER BY start_ns"
    )
    rows = file.execute(question, (trace,)).fetchall()
    return [
        Span(
            service,
            name,
            start / NANOSECONDS,
            took / NANOSECONDS,
            json.loads(known).get("db.query.text", ""),
            own,
            parent,
        )
        for service, name, start, took, known, own, parent in rows
    ]


def transactions(spans: Sequence[Span], service: str) -> Iterator[list[Span]]:
    """The statements of a service from each BEGIN to its COMMIT: one connection's, told apart by their parent."""
    open_ones: dict[str, list[Span]] = {}
    for span in (each for each in spans if each.service == service):
        if span.name == "BEGIN":
            open_ones[span.parent] = []
        if span.parent in open_ones:
            open_ones[span.parent].append(span)
            if span.name == "COMMIT":
                yield open_ones.pop(span.parent)


def held_after(transaction: Sequence[Span], statement: str) -> float:
    """Seconds from the first such statement's end to the transaction's; 0 without one."""
    taken = next((span for span in transaction if statement in span.query), None)
    return max(0.0, transaction[-1].end - taken.end) if taken else 0.0


def serial(traces: Sequence[Sequence[Span]]) -> dict[str, float]:
    """Seconds that an order holds each exclusive resource.

    The lowest tenth of all orders: a cost is what it takes without contention. The model adds contention itself, and
    what this machine's other work adds is left out.
    """
    held = [_held(spans) for spans in traces]
    return {name: quantile([each[name] for each in held], 0.1) for name in held[0]}


def _held(spans: Sequence[Span]) -> dict[str, float]:
    return {
        "append": sum(held_after(each, APPEND) for each in transactions(spans, "order-service")),
        "relay": _sum(spans, "order-service", "publish "),
        "consumer": _sum(spans, "notification-service", "process "),
        "saga": _sum(spans, "order-service", "saga "),
        "deliver": _sum(spans, "notification-service", "deliver "),
    }


def _sum(spans: Sequence[Span], service: str, begin: str) -> float:
    return sum(span.seconds for span in spans if span.service == service and span.name.startswith(begin))


def counts(traces: Sequence[Sequence[Span]]) -> dict[str, float]:
    """How often an order does something; the median of all orders."""
    counted = [_counted(spans) for spans in traces]
    return {name: statistics.median(each[name] for each in counted) for name in counted[0]}


def _counted(spans: Sequence[Span]) -> dict[str, float]:
    orders = list(transactions(spans, "order-service"))
    everywhere = [each for name in sorted({s.service for s in spans}) for each in transactions(spans, name)]
    commits = sum(span.name == "COMMIT" for span in spans)
    return {
        "gateway hops": sum(span.service == "gateway" and span.name == "ingress" for span in spans),
        "SQL statements": sum(bool(span.query) for span in spans),
        "transactions": commits,
        "transactions of order-service": len(orders),
        "transactions that append": sum(held_after(each, APPEND) > 0 for each in orders),
        "transactions that notify": sum(any(NOTIFY in span.query for span in each) for each in everywhere),
        "outbox rows": sum(span.name == "INSERT outbox" for span in spans),
        "messages published": sum(span.name.startswith("publish ") for span in spans),
        "messages consumed": sum(span.name.startswith("process ") for span in spans),
        "events loaded": sum(span.name.startswith("load ") for span in spans),
        "mails": sum(span.name == "deliver email" for span in spans),
        "saga steps": sum(span.name.startswith("saga ") for span in spans),
        "spans in the trace": len(spans),
    }
