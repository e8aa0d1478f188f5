"""Sagas in PostgreSQL, which is also the queue of their work.

A worker *claims* a saga that is due: it gets a lease of some seconds. It writes only while it still holds the lease
(`hold`), so a worker that was believed dead cannot interfere. When a worker is killed the
lease runs out and any replica carries on. Every change of an order locks the row of its saga first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from service.domain.saga import Saga, Step
from service.storage import signals

LEASE = timedelta(seconds=5)  # longer than any step takes


class LeaseLost(Exception):  # noqa: N818 - says what happened
    """The lease ran out, and another worker carries on or already did."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed saga, and what its steps need to know."""

    saga: Saga
    lease: UUID
    attempts: int  # of the current step, this one included
    payment_token: str
    pay_until: datetime | None  # once the first attempt to pay has begun
    may_be_charged: bool  # an attempt to pay began, and did not end in a definite no
    traceparent: str | None


async def start(connection: asyncpg.Connection, order_id: str, payment_token: str, traceparent: str | None) -> None:
    """Begin the saga of a new order, in the transaction that places it."""
    await connection.execute(
        "INSERT INTO sagas (order_id, step, payment_token, traceparent, due_at) VALUES ($1, $2, $3, $4, now())",
        *(order_id, Step.RESERVE_STOCK, payment_token, traceparent),
    )
    await _wake(connection)


async def claim(connection: asyncpg.Connection) -> Claim | None:
    """Claim the saga that has been due for longest and is not leased; None if there is none."""
    row = await connection.fetchrow(
        "UPDATE sagas SET lease = $1, lease_until = now() + $2, attempts = attempts + 1 WHERE order_id ="
        " (SELECT order_id FROM sagas WHERE step <> 'done' AND due_at <= now()"
        "  AND (lease_until IS NULL OR lease_until < now()) ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)"
        " RETURNING *",
        *(uuid4(), LEASE),
    )
    return _claim(row) if row else None


async def seconds_until_due(connection: asyncpg.Connection) -> float | None:
    """Return how long it takes until a saga can be claimed; None if all are done."""
    seconds: float | None = await connection.fetchval(
        "SELECT extract(epoch FROM min(greatest(due_at, lease_until)) - now())::float8 FROM sagas WHERE step <> 'done'"
    )
    return seconds


async def hold(connection: asyncpg.Connection, claimed: Claim) -> Claim:
    """Lock the saga's row for this transaction and read it again; raises `LeaseLost`."""
    row = await connection.fetchrow(
        "SELECT * FROM sagas WHERE order_id = $1 AND lease = $2 FOR UPDATE", claimed.saga.order_id, claimed.lease
    )
    if row is None:
        raise LeaseLost(f"the lease of order {claimed.saga.order_id} belongs to another worker")
    return _claim(row)


async def proceed(connection: asyncpg.Connection, held: Claim, saga: Saga) -> Claim:
    """Store the saga's state, and keep the lease for its next step (unless it is done)."""
    done = saga.step is Step.DONE
    row = await connection.fetchrow(
        "UPDATE sagas SET step = $2, to_undo = $3, cancel_reason = $4, attempts = 1, due_at = now(),"
        " lease = $5, lease_until = CASE WHEN $5::uuid IS NULL THEN NULL ELSE now() + $6::interval END,"
        " payment_token = CASE WHEN $2 IN ('reserve-stock', 'authorise-payment') THEN payment_token END"
        " WHERE order_id = $1 RETURNING *",
        *(saga.order_id, saga.step, list(saga.to_undo), saga.cancel_reason, None if done else held.lease, LEASE),
    )
    return replace(_claim(row), lease=held.lease)


async def begin_payment(connection: asyncpg.Connection, held: Claim, patience: timedelta) -> Claim:
    """Note, before the provider is called, that money may be taken from now on, and until when."""
    row = await connection.fetchrow(
        "UPDATE sagas SET may_be_charged = true, pay_until = coalesce(pay_until, now() + $2), lease_until = now() + $3"
        " WHERE order_id = $1 RETURNING *",
        *(held.saga.order_id, patience, LEASE),
    )
    return _claim(row)


async def postpone(connection: asyncpg.Connection, held: Claim, delay: timedelta, *, may_be_charged: bool) -> None:
    """Release the lease; the same step is due again after `delay`."""
    await connection.execute(
        "UPDATE sagas SET due_at = now() + $2, may_be_charged = $3, lease = NULL, lease_until = NULL"
        " WHERE order_id = $1",
        *(held.saga.order_id, delay, may_be_charged),
    )
    await _wake(connection)


async def lock(connection: asyncpg.Connection, order_id: str) -> Saga | None:
    """Lock the row of an order's saga for this transaction; None if there is no such order."""
    row = await connection.fetchrow("SELECT * FROM sagas WHERE order_id = $1 FOR UPDATE", order_id)
    return _saga(row) if row else None


async def rewrite(connection: asyncpg.Connection, saga: Saga) -> None:
    """Write a saga whose row is locked; it is due at once. A lease on it stays."""
    await connection.execute(
        "UPDATE sagas SET step = $2, to_undo = $3, cancel_reason = $4, due_at = now() WHERE order_id = $1",
        *(saga.order_id, saga.step, list(saga.to_undo), saga.cancel_reason),
    )
    await _wake(connection)


async def _wake(connection: asyncpg.Connection) -> None:
    await connection.execute("SELECT pg_notify($1, '')", signals.SAGAS)


def _saga(row: Any) -> Saga:  # noqa: ANN401 - asyncpg is untyped
    to_undo = tuple(Step(step) for step in row["to_undo"])
    return Saga(row["order_id"], Step(row["step"]), to_undo, row["cancel_reason"])


def _claim(row: Any) -> Claim:  # noqa: ANN401 - asyncpg is untyped
    return Claim(
        saga=_saga(row),
        lease=row["lease"],
        attempts=row["attempts"],
        payment_token=row["payment_token"] or "",
        pay_until=row["pay_until"],
        may_be_charged=row["may_be_charged"],
        traceparent=row["traceparent"],
    )
