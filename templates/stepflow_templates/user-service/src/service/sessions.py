"""Sessions: a chain of refresh tokens that work once each; one that is used again ends the whole chain (RFC 9700)."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from asyncpg import Connection

from chassis.database import Database
from chassis.ids import uuid7

AGENT_LENGTH = 200  # characters kept of a User-Agent


@dataclass(frozen=True, slots=True)
class Session:
    """Where a user is signed in."""

    id: UUID
    user_agent: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


class Sessions:
    """All sessions; `days` is how long one lasts without being used."""

    def __init__(self, database: Database, days: int) -> None:
        self._database = database
        self._lasting = timedelta(days=days)

    async def open(self, connection: Connection, user_id: UUID, user_agent: str) -> str:
        """Begin a session in the connection's transaction and return its first refresh token."""
        identity = uuid7()
        await connection.execute(
            "INSERT INTO sessions (id, user_id, user_agent, expires_at) VALUES ($1, $2, $3, now() + $4)",
            identity,
            user_id,
            user_agent[:AGENT_LENGTH],
            self._lasting,
        )
        return await _new_token(connection, identity)

    async def refresh(self, token: str) -> tuple[UUID, str] | None:
        """Use up a refresh token: returns the user and the next token, or None where it is not valid.

        A token that was used before has been stolen, or its successor has: the session ends.
        """
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                "SELECT t.used_at, s.id, s.user_id, s.revoked_at IS NULL AND s.expires_at > now() AS alive"
                " FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.digest = $1 FOR UPDATE",
                _digest(token),
            )
            if row is None or not row["alive"]:
                return None
            if row["used_at"] is not None:
                await connection.execute("UPDATE sessions SET revoked_at = now() WHERE id = $1", row["id"])
                return None
            await connection.execute("UPDATE refresh_tokens SET used_at = now() WHERE digest = $1", _digest(token))
            await connection.execute(
                "UPDATE sessions SET last_used_at = now(), expires_at = now() + $2 WHERE id = $1",
                row["id"],
                self._lasting,
            )
            return row["user_id"], await _new_token(connection, row["id"])

    async def close(self, token: str) -> None:
        """End the session of a refresh token; nothing happens for an unknown one."""
        async with self._database.acquire() as connection:
            await connection.execute(
                "UPDATE sessions SET revoked_at = now() WHERE revoked_at IS NULL"
                " AND id = (SELECT session_id FROM refresh_tokens WHERE digest = $1)",
                _digest(token),
            )

    async def of(self, user_id: UUID) -> list[Session]:
        """Return a user's live sessions, the latest first."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                "SELECT id, user_agent, created_at, last_used_at, expires_at FROM sessions"
                " WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now()"
                " ORDER BY last_used_at DESC LIMIT 100",
                user_id,
            )
        return [Session(**dict(row)) for row in rows]

    async def revoke(self, user_id: UUID, session_id: UUID) -> bool:
        """End one session of a user; False where it has no such session."""
        async with self._database.acquire() as connection:
            ended = await connection.fetchval(
                "UPDATE sessions SET revoked_at = now() WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL"
                " RETURNING true",
                session_id,
                user_id,
            )
        return bool(ended)


async def _new_token(connection: Connection, session_id: UUID) -> str:
    token = secrets.token_urlsafe(32)
    await connection.execute(
        "INSERT INTO refresh_tokens (digest, session_id) VALUES ($1, $2)", _digest(token), session_id
    )
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
