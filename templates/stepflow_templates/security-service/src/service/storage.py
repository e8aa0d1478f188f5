"""Clients, tokens and the audit log in PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from chassis.database import Database
from service.clients import Client


class Storage:
    """All statements of this service."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def client(self, client_id: str) -> Client | None:
        """Find a client."""
        row = await self._database.pool.fetchrow(
            "SELECT client_id, secret_hash, scopes, disabled FROM clients WHERE client_id = $1", client_id
        )
        return Client(row["client_id"], row["secret_hash"], frozenset(row["scopes"]), row["disabled"]) if row else None

    async def keep_client(self, client: Client, name: str) -> None:
        """Insert or update a client."""
        await self._database.pool.execute(
            "INSERT INTO clients (client_id, secret_hash, name, scopes) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (client_id) DO UPDATE SET secret_hash = $2, name = $3, scopes = $4",
            client.client_id,
            client.secret_hash,
            name,
            sorted(client.scopes),
        )

    async def issued(self, jti: str, client_id: str, scope: str, lifetime: int, address: str) -> None:
        """Record a token, with its line in the audit log."""
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM tokens WHERE expires_at < clock_timestamp()")
            await connection.execute(
                "INSERT INTO tokens (jti, client_id, scope, expires_at) VALUES ($1, $2, $3, $4)",
                jti,
                client_id,
                scope,
                datetime.now(UTC) + timedelta(seconds=lifetime),
            )
            await _note(connection, "token.issued", client_id, address, {"jti": jti, "scope": scope})

    async def denied(self, client_id: str, address: str, error: str) -> None:
        """Record that no token was given, and why."""
        async with self._database.acquire() as connection:
            await _note(connection, "token.denied", client_id, address, {"error": error})

    async def revoke(self, jti: str, client_id: str, address: str) -> datetime | None:
        """Revoke a client's token; returns when it would have expired, or None when it is not the client's."""
        async with self._database.transaction() as connection:
            expires: datetime | None = await connection.fetchval(
                "UPDATE tokens SET revoked_at = coalesce(revoked_at, clock_timestamp())"
                " WHERE jti = $1 AND client_id = $2 RETURNING expires_at",
                jti,
                client_id,
            )
            if expires is not None:
                await _note(connection, "token.revoked", client_id, address, {"jti": jti})
            return expires

    async def is_revoked(self, jti: str) -> bool:
        """Return whether a token of this service is revoked, or was never issued."""
        row = await self._database.pool.fetchrow("SELECT revoked_at FROM tokens WHERE jti = $1", jti)
        return row is None or row["revoked_at"] is not None

    async def audit(self, before: int | None, limit: int) -> list[dict[str, Any]]:
        """The newest lines of the log, before a certain one."""
        rows = await self._database.pool.fetch(
            "SELECT id, at, event, client_id, address, detail FROM audit"
            " WHERE $1::bigint IS NULL OR id < $1 ORDER BY id DESC LIMIT $2",
            before,
            limit,
        )
        return [dict(row) for row in rows]


async def _note(connection: asyncpg.Connection, event: str, client_id: str, address: str, detail: object) -> None:
    await connection.execute(
        "INSERT INTO audit (event, client_id, address, detail) VALUES ($1, $2, $3, $4)",
        event,
        client_id,
        address,
        detail,
    )
