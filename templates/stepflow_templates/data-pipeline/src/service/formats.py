"""Rows as JSON, CSV (RFC 4180) or Parquet, and which of them a request wants (RFC 9110 section 12.5.1)."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from service.reports import Report, Span

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
OFFERED = (JSON, CSV, PARQUET)


def preferred(accept: str) -> str | None:
    """Choose among `OFFERED` by an Accept header; None when it accepts none of them. The first wins a tie."""
    if not accept.strip():
        return JSON
    ranges = [_range(part) for part in accept.split(",") if part.strip()]
    best, quality = None, 0.0
    for media in OFFERED:
        matching = [(rank, q) for pattern, q in ranges if (rank := _rank(pattern, media))]
        wanted = max(matching)[1] if matching else 0.0
        if wanted > quality:
            best, quality = media, wanted
    return best


def as_csv(columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> bytes:
    """Write rows under a header. Text that a spreadsheet would run as a formula is prefixed with `'`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_harmless(row[column]) for column in columns] for row in rows)
    return text.getvalue().encode()


def as_parquet(connection: duckdb.DuckDBPyConnection, report: Report, span: Span, scratch: Path) -> bytes:
    """Run a report straight into a Parquet file, kept in `scratch` until it is read."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path = Path(folder) / "report.parquet"
        target = str(path).replace("'", "''")
        connection.execute(f"COPY ({report.query}) TO '{target}' (FORMAT parquet)", span.parameters())
        return path.read_bytes()


def _range(part: str) -> tuple[str, float]:
    media, *parameters = [piece.strip().lower() for piece in part.split(";")]
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media, min(1.0, max(0.0, float(value)))
            except ValueError:
                return media, 0.0
    return media, 1.0


def _rank(pattern: str, media: str) -> int:
    """Return how exactly a range matches a media type: 3 the type itself, 2 its kind, 1 anything, 0 no match."""
    if pattern == media:
        return 3
    if pattern == f"{media.partition('/')[0]}/*":
        return 2
    return int(pattern == "*/*")


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
