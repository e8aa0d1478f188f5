"""Queries of logs: by words, service, severity and trace, the newest first."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from service.traces import timestamp

_UNASKED = (
    "(severity >= 13 OR NOT EXISTS (SELECT 1 FROM spans WHERE spans.trace_id = logs.trace_id AND spans.service = ?))"
)


@dataclass(frozen=True, slots=True)
class LogSearch:
    """The search; `before` is the time and id where the previous page ended."""

    since_ns: int
    before: tuple[int, int]
    service: str = ""
    q: str = ""
    trace_id: str = ""
    severity: int = 0
    limit: int = 100
    without: str = ""  # below a warning, what any service logs about requests to this one is left out


def search(connection: sqlite3.Connection, wanted: LogSearch) -> list[dict[str, Any]]:
    """Return matching records, the newest first."""
    where = ["logs.time_ns >= ?", "(logs.time_ns, logs.id) < (?, ?)"]
    values: list[Any] = [wanted.since_ns, *wanted.before]
    for condition, value in (
        ("service = ?", wanted.service),
        ("trace_id = ?", wanted.trace_id.lower()),
        ("severity >= ?", wanted.severity),
        (_UNASKED, wanted.without),
        ("logs.id IN (SELECT rowid FROM logs_text WHERE logs_text MATCH ?)", terms(wanted.q)),
    ):
        if value:
            where.append(condition)
            values.append(value)
    rows = connection.execute(
        f"SELECT * FROM logs WHERE {' AND '.join(where)} ORDER BY time_ns DESC, id DESC LIMIT ?",  # noqa: S608 - conditions from this function
        (*values, wanted.limit),
    )
    return [_shown(row) for row in rows]


def terms(text: str) -> str:
    """Make an FTS5 query of what a person types: every word must occur, the last one as a prefix. "" without words."""
    words = ['"' + word.replace('"', '""') + '"' for word in text.replace("\0", " ").split() if _is_word(word)]
    return f"{' '.join(words)}*" if words else ""


def _is_word(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "time": timestamp(row["time_ns"]),
        "time_ns": str(row["time_ns"]),
        "service": row["service"],
        "instance": row["instance"],
        "level": row["level"],
        "severity": row["severity"],
        "message": row["body"],
        "trace_id": row["trace_id"] or None,
        "span_id": row["span_id"] or None,
        "attributes": json.loads(row["attributes"]),
    }
