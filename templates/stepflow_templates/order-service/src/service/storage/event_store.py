"""The event store: append with an expected version, read by stream or in the global order.

Appending takes a lock that is held until the transaction commits. So positions become visible in their order, and a
reader that has seen position 7 will never later find a new event at position 6: a projection needs no more than the
last position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from chassis.telemetry import current_traceparent
from service.domain.events import DomainEvent
from service.storage import codec

APPEND_LOCK = 0x6F72646572  # "order"; any number not used elsewhere in this database
CHANNEL = "events"


class VersionConflict(Exception):  # noqa: N818 - says what happened
    """A stream is not at the version that a decision was based on: read it again and decide again."""

    def __init__(self, stream: str, version: int) -> None:
        """Name the stream and the version that was expected."""
        super().__init__(f"`{stream}` is not at version {version}")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stored event: in its stream at `version` (from 1), in the store at `position`."""

    position: int
    stream: str
    version: int
    type: str
    event: DomainEvent
    recorded_at: datetime


async def append(
    connection: asyncpg.Connection,
    stream: str,
    expected_version: int,
    events: Sequence[DomainEvent],
    *,
    test: bool = False,
) -> int:
    """Append to a stream that is at `expected_version` (0: must not exist); return the position of the last event.

    `test` marks events that may be deleted with their test account. Needs a transaction; raises `VersionConflict`,
    after which that transaction is over. At least one event.
    """
    await connection.execute("SELECT pg_advisory_xact_lock($1)", APPEND_LOCK)
    position = 0
    for version, event in enumerate(events, expected_version + 1):
        name, schema, data = codec.encode(event)
        try:
            position = await connection.fetchval(
                "INSERT INTO events (stream, version, type, schema, data, traceparent, recorded_at, test)"
                " VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp(), $7) RETURNING position",
                *(stream, version, name, schema, data, current_traceparent(), test),
            )
        except asyncpg.UniqueViolationError as error:
            raise VersionConflict(stream, expected_version) from error
    await connection.execute("SELECT pg_notify($1, '')", CHANNEL)
    return position


async def read_stream(
    connection: asyncpg.Connection, stream: str, *, after: int = 0, until: int | None = None
) -> list[Recorded]:
    """Read a stream's events with `after` < version <= `until`, oldest first."""
    rows = await connection.fetch(
        "SELECT position, stream, version, type, schema, data, recorded_at FROM events"
        " WHERE stream = $1 AND version > $2 AND ($3::int IS NULL OR version <= $3) ORDER BY version",
        *(stream, after, until),
    )
    return [_recorded(row) for row in rows]


async def read_all(connection: asyncpg.Connection, *, after: int, limit: int) -> list[Recorded]:
    """Read up to `limit` events of all streams after a global position, in order."""
    rows = await connection.fetch(
        "SELECT position, stream, version, type, schema, data, recorded_at FROM events"
        " WHERE position > $1 ORDER BY position LIMIT $2",
        *(after, limit),
    )
    return [_recorded(row) for row in rows]


async def head(connection: asyncpg.Connection) -> int:
    """Return the position of the newest event, 0 in an empty store."""
    position: int = await connection.fetchval("SELECT coalesce(max(position), 0) FROM events")
    return position


def _recorded(row: Any) -> Recorded:  # noqa: ANN401 - asyncpg is untyped
    event = codec.decode(row["type"], row["schema"], row["data"])
    return Recorded(row["position"], row["stream"], row["version"], row["type"], event, row["recorded_at"])
