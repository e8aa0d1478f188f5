"""Databases: each with a role of its own that has access to no other, created once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from stepflow.handoff import ServerFile
from stepflow.targets.addresses import role, server_secret, server_url
from stepflow.targets.local.layout import Layout
from stepflow.targets.ports import HOST
from stepflow.targets.secretfiles import secret_text

_ITERATIONS = 4096
_PATIENCE = 30.0  # seconds for the connection, and for each statement


async def create(layout: Layout, port: int, names: set[str]) -> None:
    """Create the missing databases and roles. Raises `PermanentError` for a name that cannot be one."""
    made = layout.data / "postgres" / "databases"
    missing = sorted(name for name in names if not (made / name).exists())
    for name in missing:
        role(name)
    if not missing:
        return
    import asyncpg  # noqa: PLC0415 - a fifth of a second, rarely needed

    made.mkdir(exist_ok=True, mode=0o700)
    address = server_url(ServerFile("postgres"), HOST, port)
    url = f"{address.before}{secret_text(layout.secrets, address.secret)}{address.after}"
    connection = await asyncpg.connect(url, timeout=_PATIENCE, command_timeout=_PATIENCE)
    try:
        # Two that revoke from the same database at once would fail; the lock goes with the connection.
        await connection.execute("SELECT pg_advisory_lock(hashtext('stepflow databases'))")
        await connection.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
        for name in missing:
            verifier = _verifier(secret_text(layout.secrets, server_secret(ServerFile("postgres", name))))
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
                await connection.execute(f'CREATE ROLE "{name}" LOGIN')
            await connection.execute(f"ALTER ROLE \"{name}\" PASSWORD '{verifier}'")
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                await connection.execute(f'CREATE DATABASE "{name}" OWNER "{name}"')
            await connection.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
            (made / name).touch()
    finally:
        await connection.close()


def _verifier(password: str) -> str:
    """Return what PostgreSQL stores of a password (RFC 5803), so that the password itself is in no statement or log."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored, server = hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${_ITERATIONS}:{salt64}${stored64}:{server64}"
