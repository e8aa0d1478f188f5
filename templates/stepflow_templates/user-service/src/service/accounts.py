"""Accounts in PostgreSQL, each change with its event in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from asyncpg import Connection, Record, UniqueViolationError

from chassis.database import Database
from chassis.etag import if_match
from chassis.events import Event, Outbox
from chassis.ids import uuid7
from chassis.problem import Problem
from service.account import ADMIN, USER, Account, address_key
from service.happenings import TYPES, Deleted, Registered, Updated

COLUMNS = "id, email, name, roles, version, created_at, updated_at, test"


class Accounts:
    """The accounts that are not deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(
        self, email: str, name: str, password_hash: str, roles: tuple[str, ...] = (USER,), *, test: bool = False
    ) -> Account:
        """Add an account; `Problem` 409 when the address is taken."""
        try:
            async with self._database.transaction() as connection:
                row = await connection.fetchrow(
                    "INSERT INTO users (id, email, email_key, name, password_hash, roles, test)"  # noqa: S608 - constants
                    f" VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {COLUMNS}",
                    uuid7(),
                    email,
                    address_key(email),
                    name,
                    password_hash,
                    list(roles),
                    test,
                )
                account = _account(row)
                registered = Registered(
                    user_id=account.id,
                    email=account.email,
                    name=account.name,
                    roles=account.roles,
                    registered_at=account.created_at,
                )
                await _tell(connection, registered, account)
        except UniqueViolationError as error:
            raise Problem(409, "Address taken", detail="This e-mail address has an account: sign in.") from error
        return account

    async def get(self, identity: UUID) -> Account:
        """Return an account; `Problem` 404 when there is none."""
        async with self._database.acquire() as connection:
            return _account(await _row(connection, identity, lock=False))

    async def secret_of(self, email: str) -> tuple[Account, str] | None:
        """Return the account of an address, with its password's hash."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(
                f"SELECT {COLUMNS}, password_hash FROM users WHERE email_key = $1 AND deleted_at IS NULL",  # noqa: S608 - constants
                address_key(email),
            )
        return None if row is None else (_account(row), row["password_hash"])

    async def list(self, *, after: UUID | None, limit: int, search: str, test: bool) -> list[Account]:
        """Return up to `limit` accounts, the oldest first, whose address or name holds `search`: either those of people
        or, with `test`, those of checks.
        """
        pattern = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                f"SELECT {COLUMNS} FROM users WHERE deleted_at IS NULL AND ($1::uuid IS NULL OR id > $1)"  # noqa: S608 - constants
                " AND (email ILIKE $2 OR name ILIKE $2) AND test = $4 ORDER BY id LIMIT $3",
                after,
                pattern,
                limit,
                test,
            )
        return [_account(row) for row in rows]

    async def change(
        self, identity: UUID, changes: Mapping[str, Any], *, match: str | None, end_sessions: bool
    ) -> Account:
        """Change columns of an account; 412 when `match` is not its version, 409 when an address is taken."""
        values = dict(changes)
        if "email" in values:
            values["email_key"] = address_key(values["email"])
        try:
            async with self._database.transaction() as connection:
                before = _account(await _row(connection, identity, lock=True))
                if_match(match, before.version)
                if not values:
                    return before
                if before.test and ADMIN in values.get("roles", ()):
                    raise Problem(409, "Test account", detail="A test account cannot be an administrator.")
                if before.is_admin and ADMIN not in values.get("roles", before.roles):
                    await _refuse_last_admin(connection)
                assignments = "".join(f", {name} = ${number}" for number, name in enumerate(values, 2))
                row = await connection.fetchrow(
                    f"UPDATE users SET version = version + 1, updated_at = now(){assignments}"  # noqa: S608 - our column names
                    f" WHERE id = $1 RETURNING {COLUMNS}",
                    identity,
                    *values.values(),
                )
                account = _account(row)
                if end_sessions:
                    await _end_sessions(connection, identity)
                await _tell(connection, Updated(user_id=identity, email=account.email, name=account.name), account)
        except UniqueViolationError as error:
            raise Problem(409, "Address taken", detail="This e-mail address has an account.") from error
        return account

    async def rehash(self, identity: UUID, password_hash: str) -> None:
        """Store a hash with today's costs; the account itself does not change."""
        async with self._database.acquire() as connection:
            await connection.execute("UPDATE users SET password_hash = $2 WHERE id = $1", identity, password_hash)

    async def delete(self, identity: UUID, *, match: str | None) -> None:
        """Soft-delete an account: it disappears for every caller, its sessions end, its address is free again.

        Of a test account no row is left.
        """
        async with self._database.transaction() as connection:
            account = _account(await _row(connection, identity, lock=True))
            if_match(match, account.version)
            if account.is_admin:
                await _refuse_last_admin(connection)
            if account.test:
                await connection.execute("DELETE FROM sessions WHERE user_id = $1", identity)
                await connection.execute("DELETE FROM users WHERE id = $1", identity)
            else:
                await connection.execute(
                    "UPDATE users SET deleted_at = now(), updated_at = now(), version = version + 1 WHERE id = $1",
                    identity,
                )
                await _end_sessions(connection, identity)
            await _tell(connection, Deleted(user_id=identity), account)


async def _tell(connection: Connection, what: Registered | Updated | Deleted, account: Account) -> None:
    event = Event(TYPES[type(what)], str(what.user_id), what.model_dump(mode="json"), test=account.test)
    await Outbox.put(connection, event)


async def _row(connection: Connection, identity: UUID, *, lock: bool) -> Record:
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM users WHERE id = $1 AND deleted_at IS NULL{' FOR UPDATE' if lock else ''}",  # noqa: S608 - constants
        identity,
    )
    if row is None:
        raise Problem(404, detail="There is no such user.")
    return row


async def _refuse_last_admin(connection: Connection) -> None:
    """Keep the last administrator; the rows are locked, so that two cannot leave at once."""
    rows = await connection.fetch(
        "SELECT id FROM users WHERE 'admin' = ANY(roles) AND deleted_at IS NULL ORDER BY id FOR UPDATE"
    )
    if len(rows) == 1:
        raise Problem(409, "Last administrator", detail="The last administrator stays one: make another first.")


async def _end_sessions(connection: Connection, identity: UUID) -> None:
    await connection.execute(
        "UPDATE sessions SET revoked_at = now() WHERE user_id = $1 AND revoked_at IS NULL", identity
    )


def _account(row: Record) -> Account:
    return Account(
        id=row["id"],
        email=row["email"],
        name=row["name"],
        roles=tuple(row["roles"]),
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        test=row["test"],
    )
