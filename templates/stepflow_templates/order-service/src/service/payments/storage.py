"""Payments in PostgreSQL. The rows themselves guard what may happen only once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chassis.database import Database
from chassis.ids import uuid7
from service.payments.domain import Fate, Fault, Payment

FORGOTTEN = timedelta(days=1)  # after which a test payment is deleted


class KeyReused(Exception):  # noqa: N818 - says what happened
    """The idempotency key belongs to another request."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for money."""

    key: str
    fingerprint: str
    order_id: str
    amount: int
    currency: str
    valid_until: datetime
    test: bool = False


async def open_payment(database: Database, asked: Asked) -> Payment:
    """Return the payment of this key: a new pending one, or the existing one. Raises `KeyReused`.

    Test payments of more than a day ago are forgotten.
    """
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM payments WHERE test AND created_at < now() - $1::interval", FORGOTTEN)
        await connection.execute(
            "INSERT INTO payments"
            " (id, idempotency_key, fingerprint, order_id, amount, currency, valid_until, status, test)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8) ON CONFLICT (idempotency_key) DO NOTHING",
            *(str(uuid7()), asked.key, asked.fingerprint, asked.order_id),
            *(asked.amount, asked.currency, asked.valid_until, asked.test),
        )
        row = await connection.fetchrow("SELECT * FROM payments WHERE idempotency_key = $1", asked.key)
    if row["fingerprint"] != asked.fingerprint:
        raise KeyReused(asked.key)
    return _payment(row)


async def settle(database: Database, payment_id: str, fate: Fate) -> Payment:
    """Settle a pending payment; one that is settled or voided stays as it is. Too late means declined."""
    async with database.acquire() as connection:
        await connection.execute(
            "UPDATE payments SET status = CASE WHEN clock_timestamp() < valid_until THEN $2 ELSE 'declined' END,"
            " reason = CASE WHEN clock_timestamp() < valid_until THEN $3 ELSE 'the request came too late' END"
            " WHERE id = $1 AND status = 'pending'",
            *(payment_id, fate.status, fate.reason),
        )
        return _payment(await connection.fetchrow("SELECT * FROM payments WHERE id = $1", payment_id))


async def void(database: Database, payment_id: str) -> Payment | None:
    """Refund the payment, or never take it; a declined payment stays declined. None if it does not exist."""
    async with database.acquire() as connection:
        await connection.execute(
            "UPDATE payments SET status = 'voided' WHERE id = $1 AND status IN ('pending', 'captured')", payment_id
        )
        row = await connection.fetchrow("SELECT * FROM payments WHERE id = $1", payment_id)
    return _payment(row) if row else None


async def of_order(database: Database, order_id: str) -> list[Payment]:
    """Return the payments of an order, oldest first."""
    async with database.acquire() as connection:
        rows = await connection.fetch("SELECT * FROM payments WHERE order_id = $1 ORDER BY created_at, id", order_id)
    return [_payment(row) for row in rows]


async def fault(database: Database) -> Fault:
    """Return which fault is on."""
    async with database.acquire() as connection:
        mode: Fault = await connection.fetchval("SELECT mode FROM fault")
    return mode


async def switch_fault(database: Database, mode: Fault) -> None:
    """Switch a fault on, or with `none` all off."""
    async with database.acquire() as connection:
        await connection.execute("UPDATE fault SET mode = $1", mode)


def _payment(row: Any) -> Payment:  # noqa: ANN401 - asyncpg is untyped
    return Payment(
        row["id"],
        row["order_id"],
        row["amount"],
        row["currency"],
        row["status"],
        row["reason"],
        row["created_at"],
        row["test"],
    )
