"""Throttles guessing: after some failed sign-ins in a row, each further one has to wait twice as long."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime

from asyncpg import Connection

from chassis.database import Database
from chassis.problem import Problem
from service.account import address_key

FIRST_WAIT = 2  # seconds
LONGEST_WAIT = 900  # seconds
FORGOTTEN = "1 day"  # without a further failure


class Lockout:
    """Counts failures for each address, with or without an account: the answers are the same."""

    def __init__(self, database: Database, after: int) -> None:
        self._database = database
        self._after = after

    async def attempt(self, address: str) -> None:
        """Count an attempt before it is made, so that attempts at once count too; `Problem` 429 while locked."""
        key = _digest(address)
        async with self._database.transaction() as connection:
            await connection.execute(
                f"DELETE FROM sign_in_failures WHERE last_at < now() - interval '{FORGOTTEN}'"  # noqa: S608 - a constant
            )
            counted = await connection.fetchval(
                "INSERT INTO sign_in_failures AS f (address, failures, locked_until) VALUES ($1, 1, now())"
                " ON CONFLICT (address) DO UPDATE SET failures = f.failures + 1, last_at = now(), locked_until = now()"
                " + CASE WHEN f.failures + 1 < $2 THEN interval '0'"
                " ELSE least($3 * power(2, least(f.failures + 1 - $2, 20)), $4) * interval '1 second' END"
                " WHERE f.locked_until <= now() RETURNING true",
                key,
                self._after,
                float(FIRST_WAIT),
                float(LONGEST_WAIT),
            )
            if not counted:
                until = await connection.fetchval("SELECT locked_until FROM sign_in_failures WHERE address = $1", key)
                raise _locked(until)

    async def forgive(self, connection: Connection, address: str) -> None:
        """Reset the failures after a success."""
        await connection.execute("DELETE FROM sign_in_failures WHERE address = $1", _digest(address))


def _digest(address: str) -> bytes:
    return hashlib.sha256(address_key(address).encode()).digest()


def _locked(until: datetime) -> Problem:
    seconds = max(1, math.ceil((until - datetime.now(UTC)).total_seconds()))
    return Problem(
        429,
        "Too many failed sign-ins",
        detail=f"Try again in {seconds} s.",
        headers={"Retry-After": str(seconds)},
    )
