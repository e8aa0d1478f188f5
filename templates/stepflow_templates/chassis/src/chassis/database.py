"""PostgreSQL: a pool that waits for its server, migrations under a lock, transactions."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import SecretStr

from chassis.telemetry import past_span

log = logging.getLogger(__name__)
OWN_MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x6D696772  # "migr": one replica migrates, the others wait
POOL = (1, 6)  # connections, at least and at most: many services share one server
STATEMENT = re.compile(r"^\s*(?:(UPDATE)\s+(\w+)|(INSERT|DELETE|SELECT)\b(?:.*?\b(?:FROM|INTO)\s+(\w+))?)", re.DOTALL)
COMMAND_TIMEOUT = 30.0  # seconds


class MigrationError(Exception):
    """A migration that was applied has changed since, or cannot be applied."""


class Database:
    """One service's database. jsonb columns are Python values. Opened and migrated when the service starts."""

    def __init__(self, url: SecretStr, migrations: Path, *, pool: tuple[int, int] = POOL) -> None:
        self._url = url
        self._migrations = migrations
        self._size = pool
        self._pool: asyncpg.Pool | None = None

    @property
    def pool(self) -> asyncpg.Pool:
        """Return the pool. Raises `RuntimeError` before the database is open."""
        if self._pool is None:
            raise RuntimeError("the database is not open yet")
        return self._pool

    @property
    def is_open(self) -> bool:
        """Return whether the pool exists and the migrations are applied."""
        return self._pool is not None

    async def open(self) -> None:
        """Connect and migrate. Raises `OSError` or `asyncpg.PostgresError` while the server is not there."""
        least, most = self._size
        pool = await asyncpg.create_pool(
            self._url.get_secret_value(),
            min_size=least,
            max_size=most,
            command_timeout=COMMAND_TIMEOUT,
            init=_prepare,
        )
        try:
            async with pool.acquire() as connection:
                await self.migrate(connection)
        except BaseException:
            await pool.close()
            raise
        self._pool = pool

    async def close(self) -> None:
        """Close the pool when what uses it is done."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()

    async def check(self) -> None:
        """Ping the server; raises what goes wrong."""
        async with self.acquire() as connection:
            await connection.fetchval("SELECT 1", timeout=2)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        """Borrow a connection; each statement commits by itself."""
        async with self.pool.acquire(timeout=10) as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """Borrow a connection in a transaction: commits at the end, rolls back when an exception leaves the block."""
        async with self.acquire() as connection, connection.transaction():
            yield connection

    async def migrate(self, connection: asyncpg.Connection) -> int:
        """Apply the scripts that are missing, one replica at a time, and return how many they were.

        Raises `MigrationError` for a script that cannot be applied; those before it stay applied.
        """
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK, timeout=None)
        try:
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations (scope text, name text, checksum text NOT NULL,"
                " applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (scope, name))"
            )
            own = await self._apply(connection, "chassis", OWN_MIGRATIONS)
            return own + await self._apply(connection, "service", self._migrations)
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)

    async def _apply(self, connection: asyncpg.Connection, scope: str, folder: Path) -> int:
        rows = await connection.fetch("SELECT name, checksum FROM schema_migrations WHERE scope = $1", scope)
        applied = {row["name"]: row["checksum"] for row in rows}
        count = 0
        for name, text in await asyncio.to_thread(_scripts, folder):
            checksum = hashlib.sha256(text.encode()).hexdigest()
            known = applied.get(name)
            if known == checksum:
                continue
            if known is not None:
                raise MigrationError(f"migration `{name}` changed after it was applied: add a new one instead")
            try:
                async with connection.transaction():
                    await connection.execute(text)
                    await connection.execute(
                        "INSERT INTO schema_migrations (scope, name, checksum) VALUES ($1, $2, $3)",
                        scope,
                        name,
                        checksum,
                    )
            except asyncpg.PostgresError as error:
                raise MigrationError(f"migration `{scope}/{name}` cannot be applied: {error}") from error
            log.info("migrated", extra={"migration": f"{scope}/{name}"})
            count += 1
        return count


def _scripts(folder: Path) -> list[tuple[str, str]]:
    """Read a folder's migrations, in the order of their names."""
    return [(path.name, path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.sql"))]


async def _prepare(connection: asyncpg.Connection) -> None:
    """On each new connection, decode jsonb columns to Python values and trace its statements."""
    connection.add_query_logger(_trace)
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


def _trace(record: Any) -> None:  # noqa: ANN401 - asyncpg's LoggedQuery, which has no types
    """Make a span of a statement, named by its verb and table; values are left out."""
    words = STATEMENT.search(record.query)
    name = " ".join(word for word in words.groups() if word) if words else record.query.partition(" ")[0].rstrip(";")
    error = type(record.exception).__qualname__ if record.exception else ""
    attributes = {"db.system.name": "postgresql", "db.operation.name": name, "db.query.text": record.query[:500]}
    past_span(name, record.elapsed, attributes, error)
