"""How fresh the reports are: seconds behind the streams, measured from the oldest event not yet included."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import duckdb
from pydantic import BaseModel

from chassis.bus import Bus
from service import source
from service.pipeline import STREAMS, Pipeline
from service.warehouse import Warehouse, rows_of


class StreamFreshness(BaseModel):
    """One stream: the outcome of its events, and how far the reports are behind it."""

    stream: str
    seconds_behind: float
    pending: int
    rows: int
    duplicates: int
    rejects: int
    loaded_at: datetime | None


class Freshness(BaseModel):
    """How far the reports are behind all streams; failing tests keep newer data from being published."""

    seconds_behind: float
    refreshed_at: datetime | None
    failing_tests: list[str]
    streams: list[StreamFreshness]


async def measure(bus: Bus, warehouse: Warehouse, pipeline: Pipeline, timeout: float) -> Freshness:  # noqa: ASYNC109 - see Warehouse.read
    """Query the streams and the warehouse. Raises `QueryTimeoutError`, and what NATS raises."""
    known, refreshed_at = await warehouse.read(_known, timeout)
    streams = [await _of(bus, stream, known.get(stream, {})) for stream in STREAMS]
    return Freshness(
        seconds_behind=max(stream.seconds_behind for stream in streams),
        refreshed_at=refreshed_at,
        failing_tests=list(pipeline.failures),
        streams=streams,
    )


def _known(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, dict[str, Any]], datetime | None]:
    query = """SELECT loaded.*, coalesce(published.sequence, 0) AS published
        FROM raw.positions AS loaded LEFT JOIN meta.published AS published
        ON published.stream = loaded.stream AND published.created = loaded.created"""
    streams = {row["stream"]: row for row in rows_of(connection, query)}
    row = connection.execute("SELECT refreshed_at FROM meta.watermark").fetchone()
    return streams, _utc(row[0] if row else None)


async def _of(bus: Bus, stream: str, known: dict[str, Any]) -> StreamFreshness:
    state = await source.state(bus, stream)
    same = state is not None and str(state.created) == known.get("created")
    published = int(known.get("published", 0)) if same else 0
    since = await source.waiting_since(bus, stream, published) if state else None
    return StreamFreshness(
        stream=stream,
        seconds_behind=round(max(0.0, (datetime.now(UTC) - since).total_seconds()), 3) if since else 0.0,
        pending=state.state.last_seq - published if state and since else 0,
        rows=known.get("rows", 0),
        duplicates=known.get("duplicates", 0),
        rejects=known.get("rejects", 0),
        loaded_at=_utc(known.get("loaded_at")),
    )


def _utc(value: datetime | None) -> datetime | None:
    return value.replace(tzinfo=UTC) if value else None
