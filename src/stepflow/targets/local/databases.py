"""Databases: each with a role of its own that has access to no other."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stepflow.errors import PermanentError
from stepflow.handoff import ServerFile
from stepflow.targets.addresses import role, server_secret, server_url
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.scram import verifier
from stepflow.targets.local.spec import digest_of
from stepflow.targets.ports import HOST
from stepflow.targets.secretfiles import secret_file, secret_text
from stepflow.targets.wholefile import write_whole

if TYPE_CHECKING:
    from asyncpg import Connection

BEFORE = "unknown"
"""Stands for what version 0.1.0 did not record; equals whatever there is."""
_PATIENCE = 30.0  # seconds for the connection, and for each statement


@dataclass(frozen=True, slots=True)
class Database:
    """A database that was made."""

    birth: str = ""  # random: another one of the same name has another
    password: str = ""  # digest of its role's password


def made(layout: Layout) -> dict[str, Database]:
    """Return the databases that were made and are still there, by name: PostgreSQL keeps each in a folder of its own,
    which is called by its number.
    """
    found = {}
    for mark in layout.databases.glob("[!.]*"):
        number, birth, password = mark.read_text(encoding="ascii").split() or ("", BEFORE, BEFORE)
        if not number or (layout.cluster / "base" / number).is_dir():
            found[mark.name] = Database(birth, password)
    return found


async def ensure(layout: Layout, port: int, name: str) -> None:
    """Ensure that a database exists, with a role that has its password, and record which one it is.

    Raises `PermanentError` for a name that cannot be one, and for a server that does not accept its password.
    """
    role(name)
    password = secret_file(layout.secrets, server_secret(ServerFile("postgres", name))).read_text(encoding="utf-8")
    birth = made(layout).get(name, Database(secrets.token_hex(8))).birth
    connection = await _connect(layout, port)
    try:
        # Two that revoke from the same database at once would fail; the lock goes with the connection.
        await connection.execute("SELECT pg_advisory_lock(hashtext('stepflow databases'))")
        await connection.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
            await connection.execute(f'CREATE ROLE "{name}" LOGIN')
        await connection.execute(f"ALTER ROLE \"{name}\" PASSWORD '{verifier(password)}'")
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            birth = secrets.token_hex(8)
            await connection.execute(f'CREATE DATABASE "{name}" OWNER "{name}"')
        await connection.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
        number = await connection.fetchval("SELECT oid::text FROM pg_database WHERE datname = $1", name)
    finally:
        await connection.close()
    layout.databases.mkdir(exist_ok=True, mode=0o700)
    write_whole(layout.databases / name, f"{number} {birth} {digest_of(password)}")


async def _connect(layout: Layout, port: int) -> Connection:
    import asyncpg  # noqa: PLC0415 - a fifth of a second, rarely needed

    address = server_url(ServerFile("postgres"), HOST, port)
    url = f"{address.before}{secret_text(layout.secrets, address.secret)}{address.after}"
    try:
        return await asyncpg.connect(url, timeout=_PATIENCE, command_timeout=_PATIENCE)
    except asyncpg.InvalidPasswordError as error:
        file = layout.secrets / address.secret
        hint = f"put the right one there, or `rm {file}`, then `stepflow resume`: another password is made and set"
        raise PermanentError(f"PostgreSQL does not accept the password in `{file}`", hint=hint) from error
