"""`python -m chassis.migrate PACKAGE`: migrate a database to what this version of a service needs, and exit.

It applies what is missing of the scripts in the package's folder `migrations`, as the service does when it starts, and
may run at the same time as that. Exit code 0 when the database is up to date, 1 when it cannot be migrated.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
from pathlib import Path

import asyncpg
from pydantic import Field, SecretStr

from chassis import logs
from chassis.database import Database, MigrationError
from chassis.settings import Identity, load

log = logging.getLogger(__name__)
PAUSE = 0.5  # seconds between two attempts to connect


class MigrationSettings(Identity):
    """What a migration reads."""

    database_url: SecretStr
    migrate_patience: float = Field(default=60.0, ge=0, le=3600)
    """How long to wait for the server, its database and its role, in seconds."""


def scripts_of(package: str) -> Path:
    """Return the folder of a package's migrations. Raises `MigrationError` where there is none."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    folders = (spec.submodule_search_locations or []) if spec else []
    found = [Path(folder) / "migrations" for folder in folders if (Path(folder) / "migrations").is_dir()]
    if not found:
        raise MigrationError(f"the package `{package}` has no folder `migrations`")
    return found[0]


async def migrate(settings: MigrationSettings, scripts: Path) -> int:
    """Apply what is missing; returns the number of scripts. Raises `MigrationError`."""
    connection = await _connected(settings)
    try:
        return await Database(settings.database_url, scripts).migrate(connection)
    finally:
        await connection.close()


async def _connected(settings: MigrationSettings) -> asyncpg.Connection:
    loop = asyncio.get_running_loop()
    end = loop.time() + settings.migrate_patience
    while True:
        try:
            return await asyncpg.connect(settings.database_url.get_secret_value(), timeout=10)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            reason = str(error) or type(error).__name__
            if loop.time() >= end:
                patience = f"{settings.migrate_patience:g} s"
                raise MigrationError(f"PostgreSQL cannot be reached for {patience}: {reason}") from error
            log.warning("waiting for PostgreSQL", extra={"reason": reason})
            await asyncio.sleep(PAUSE)


def main(arguments: list[str]) -> int:
    """Migrate the database of the service in a package, by default `service`."""
    settings = load(MigrationSettings)
    logs.install(settings.service, settings.instance_name, settings.log_level)
    try:
        count = asyncio.run(migrate(settings, scripts_of(arguments[0] if arguments else "service")))
    except (MigrationError, asyncpg.PostgresError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    log.info("the database is as this version needs it", extra={"applied": count})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
