"""Loading: a batch of messages becomes rows, quarantine and position in one transaction."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import duckdb

from chassis.events import Event, Reject
from service.contract import BrokenContractError, fit

UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]|\\u0000")  # as they are, and as JSON writes NUL
KEPT = 16_384  # characters of a payload in the quarantine
EVENTS = """INSERT INTO raw.events (id, stream, type, time, data, loaded_at, test)
    SELECT row.id, ?, row.type, row.time::TIMESTAMPTZ AT TIME ZONE 'UTC', row.data, ?, row.test
    FROM (SELECT unnest(from_json(?::JSON,
        '[{"id": "VARCHAR", "type": "VARCHAR", "time": "VARCHAR", "data": "JSON", "test": "BOOLEAN"}]')) AS row)
    ON CONFLICT DO NOTHING RETURNING test"""
QUARANTINE = """INSERT INTO raw.quarantine
    SELECT ?, ?, row.sequence, row.subject, row.reason, row.payload, ?
    FROM (SELECT unnest(from_json(?::JSON,
        '[{"sequence": "BIGINT", "subject": "VARCHAR", "reason": "VARCHAR", "payload": "VARCHAR"}]')) AS row)
    ON CONFLICT DO NOTHING"""
POSITION = """INSERT INTO raw.positions VALUES ($stream, $created, $sequence, $rows, $duplicates, $rejects, $at)
    ON CONFLICT (stream) DO UPDATE SET created = $created, sequence = $sequence, rows = rows + $rows,
    duplicates = duplicates + $duplicates, rejects = rejects + $rejects, loaded_at = $at"""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a stream is read; `created` distinguishes streams of the same name."""

    stream: str
    created: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message of a stream as it arrived."""

    sequence: int
    subject: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of a batch; the events of test accounts are not counted."""

    rows: int
    duplicates: int
    rejects: int
    accepted: tuple[Event, ...] = field(default=(), compare=False)
    """The events behind the rows and the duplicates."""


@dataclass(slots=True)
class _Batch:
    events: list[Event] = field(default_factory=list)
    accepted: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)


def load(connection: duckdb.DuckDBPyConnection, at: Position, arrived: Sequence[Arrived]) -> Loaded:
    """Write a batch that follows the position `at`, in the caller's transaction."""
    batch = _Batch()
    for message in arrived:
        _sort(message, batch)
    now = datetime.now(UTC).replace(tzinfo=None)
    rows = 0
    if batch.accepted:
        new = connection.execute(EVENTS, [at.stream, now, json.dumps(batch.accepted)]).fetchall()
        rows = sum(not test for (test,) in new)
    if batch.rejected:
        connection.execute(QUARANTINE, [at.stream, at.created, now, json.dumps(batch.rejected)])
    accepted = sum(not each["test"] for each in batch.accepted)
    counts = {"rows": rows, "duplicates": accepted - rows, "rejects": len(batch.rejected)}
    last = {"stream": at.stream, "created": at.created, "sequence": arrived[-1].sequence, "at": now}
    connection.execute(POSITION, last | counts)
    return Loaded(**counts, accepted=tuple(batch.events))


def position(connection: duckdb.DuckDBPyConnection, stream: str) -> Position | None:
    """Return the last position read of a stream; None when nothing was read yet."""
    query = "SELECT stream, created, sequence FROM raw.positions WHERE stream = ?"
    row = connection.execute(query, [stream]).fetchone()
    return Position(*row) if row else None


def _sort(message: Arrived, batch: _Batch) -> None:
    try:
        event = Event.decode(message.payload)
        batch.accepted.append(_row(message.subject, event))
        batch.events.append(event)
    except (Reject, BrokenContractError) as error:
        text = message.payload.decode("utf-8", "replace")[:KEPT].replace("\x00", "")
        reason = UNSTORABLE.sub("\ufffd", str(error)[:2000])
        reject = {"sequence": message.sequence, "subject": message.subject, "reason": reason, "payload": text}
        batch.rejected.append(reject)


def _row(subject: str, event: Event) -> dict[str, Any]:
    if not event.id:
        raise Reject("the CloudEvent's `id` is empty")
    if event.type != subject:
        raise Reject(f"the type `{event.type}` arrived under the subject `{subject}`")
    data = fit(event)
    if UNSTORABLE.search(json.dumps([event.id, data], ensure_ascii=False)):
        raise BrokenContractError("holds NUL or half of a surrogate pair, which UTF-8 text cannot")
    time = event.time.astimezone(UTC).isoformat()
    return {"id": event.id, "type": event.type, "time": time, "data": data, "test": event.test}
