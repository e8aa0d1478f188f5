"""Real PostgreSQL and NATS; a payment provider that listens; an order service that is driven in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

import service
from chassis.database import Database

KEY = "sk_for_tests"
MIGRATIONS = Path(service.__file__).parent / "migrations"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The order service's database, migrated; no service runs on it."""
    opened = Database(SecretStr(database_url), MIGRATIONS)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def payments_url(postgres_session: str) -> AsyncIterator[str]:
    """The URL of a new database for the payment provider; dropped afterwards."""
    name = f"p_{uuid4().hex}"
    admin = await asyncpg.connect(f"{postgres_session}/postgres")
    await admin.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
    yield f"{postgres_session}/{name}"
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()
