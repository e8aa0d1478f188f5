"""Who can be written to: a projection of the users stream, so that no other service has to be called."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from asyncpg import Connection


@dataclass(frozen=True, slots=True)
class Recipient:
    """A user, reduced to what messages need."""

    user_id: str
    email: str
    name: str


async def keep(connection: Connection, recipient: Recipient, at: datetime) -> None:
    """Store a user's data unless what is known is newer."""
    await connection.execute(
        """INSERT INTO recipients (user_id, email, name, updated_at) VALUES ($1, $2, $3, $4)
           ON CONFLICT (user_id) DO UPDATE SET email = $2, name = $3, updated_at = $4
           WHERE recipients.updated_at <= $4""",
        *(recipient.user_id, recipient.email, recipient.name, at),
    )


async def find(connection: Connection, user_id: str) -> Recipient | None:
    """Return a user, None when unknown or deleted."""
    row = await connection.fetchrow("SELECT user_id, email, name FROM recipients WHERE user_id = $1", user_id)
    return Recipient(**row) if row else None


async def forget(connection: Connection, user_id: str) -> None:
    """Remove a user."""
    await connection.execute("DELETE FROM recipients WHERE user_id = $1", user_id)


async def lock(connection: Connection, user_id: str) -> None:
    """Lock this user's events until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", user_id)


async def wait(connection: Connection, user_id: str, event_id: str, event: bytes, longest: timedelta) -> None:
    """Keep an event until its user is known; those that waited longer than `longest` are dropped."""
    await connection.execute("DELETE FROM waiting WHERE since < now() - $1::interval", longest)
    await connection.execute(
        "INSERT INTO waiting (event_id, user_id, event) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        *(event_id, user_id, event),
    )


async def take_waiting(connection: Connection, user_id: str) -> list[bytes]:
    """Return and remove the events that waited for a user, in order of arrival."""
    rows = await connection.fetch("DELETE FROM waiting WHERE user_id = $1 RETURNING event, since", user_id)
    return [row["event"] for row in sorted(rows, key=lambda row: row["since"])]
