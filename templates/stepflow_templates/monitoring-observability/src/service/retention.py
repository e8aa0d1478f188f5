"""Removes what is too old, or too much: oldest first, a little at a time."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

RAW_SECONDS = 3600
"""How long all points are kept; after that the last of each minute remains."""
_SECOND_NS = 1_000_000_000
_FUTURE_NS = 3600 * _SECOND_NS  # a clock this far ahead is wrong, and its records would never expire
_ROWS = 5_000  # removed in one transaction: the writer must not pause for long
_TABLES = (
    ("spans", "start_ns", 1), ("logs", "time_ns", 1),
    ("requests", "minute", 1_000_000_000), ("minutes", "time_s", 1_000_000_000),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Retention:
    """How long telemetry is kept (hours), and how large its file may grow (bytes)."""

    hours: float
    max_bytes: int


def expire(connection: sqlite3.Connection, retention: Retention, now_ns: int) -> None:
    """Remove what has expired; while the file is still too large, the oldest tenth of the rest as well."""
    oldest = now_ns - round(retention.hours * 3600 * 1_000_000_000)
    raw = now_ns - min(RAW_SECONDS, round(retention.hours * 3600)) * 1_000_000_000
    _remove(connection, "points", "time_s", raw // 1_000_000_000, (now_ns + _FUTURE_NS) // 1_000_000_000)
    span_ns = now_ns - oldest
    while True:
        for table, column, unit in _TABLES:
            _remove(connection, table, column, oldest // unit, (now_ns + _FUTURE_NS) // unit)
        connection.execute("PRAGMA incremental_vacuum")
        if size(connection) <= retention.max_bytes or span_ns < _SECOND_NS:
            break
        span_ns = span_ns * 9 // 10
        oldest = now_ns - span_ns
    connection.execute(
        "DELETE FROM series WHERE id NOT IN (SELECT series FROM minutes) AND id NOT IN (SELECT series FROM points)"
    )
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def size(connection: sqlite3.Connection) -> int:
    """Return the bytes in use in the file."""
    pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
    free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    page: int = connection.execute("PRAGMA page_size").fetchone()[0]
    return (pages - free) * page


def _remove(connection: sqlite3.Connection, table: str, column: str, oldest: int, newest: int) -> None:
    key = {"spans": "(trace_id, span_id)", "logs": "id"}.get(table, "")
    where = f"{column} < ? OR {column} > ?"
    if not key:
        connection.execute(f"DELETE FROM {table} WHERE {where}", (oldest, newest))  # noqa: S608 - names from this file
        return
    columns = key.strip("()")
    statement = f"DELETE FROM {table} WHERE {key} IN (SELECT {columns} FROM {table} WHERE {where} LIMIT {_ROWS})"  # noqa: S608 - names from this file
    while connection.execute(statement, (oldest, newest)).rowcount == _ROWS:
        pass
