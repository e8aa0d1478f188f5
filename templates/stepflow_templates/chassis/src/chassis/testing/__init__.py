"""Pytest fixtures for services, with real servers: `pytest_plugins = ["chassis.testing"]` in `tests/conftest.py`.

`nats_url` and `database_url` (emptied for each test), `settings_env` (the environment of
a service), `token` (signs access tokens), `client` (`async with client(app) as http:` drives an app and its start).
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import uuid4

import httpx2
import nats
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from nats.js.api import KeyValueConfig

from chassis.app import Service
from chassis.testing.databases import empty_database
from chassis.testing.servers import nats_server, postgres_server
from chassis.testing.waiting import eventually

__all__ = ["client", "database_url", "empty_database", "eventually", "nats_url", "settings_env", "token"]
ISSUER = "urn:stepflow:test"
START = 60.0  # seconds
Client = Callable[[FastAPI], AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture(scope="session")
def nats_session() -> Iterator[str]:
    """One NATS server for all tests of a session."""
    with nats_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_session() -> Iterator[str]:
    """One PostgreSQL server for all tests of a session."""
    with postgres_server() as url:
        yield url


@pytest.fixture
async def nats_url(nats_session: str) -> str:
    """The URL of a NATS server without any streams or buckets."""
    connection = await nats.connect(nats_session)
    js = connection.jetstream()
    for stream in await js.streams_info():
        await js.delete_stream(stream.config.name or "")
    await connection.close()
    return nats_session


@pytest.fixture
async def database_url(postgres_session: str) -> AsyncIterator[str]:
    """The URL of an empty database that no other test uses at the same time."""
    async with empty_database(postgres_session) as url:
        yield url


@pytest.fixture
def settings_env(monkeypatch: pytest.MonkeyPatch, nats_url: str, database_url: str) -> dict[str, str]:
    """Set the environment of a service, as a target does, and return it; tests add their own with `monkeypatch`."""
    env = {
        "HOST": "127.0.0.1",
        "PORT": "8000",
        "INSTANCE": "test-1",
        "NATS_URL": nats_url,
        "DATABASE_URL": database_url,
        "DRAIN_SECONDS": "0",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env


@pytest.fixture(scope="session")
def issuer_key() -> ECKey:
    """The key that the tests' tokens are signed with."""
    return ECKey.generate_key("P-256", {"kid": "test", "use": "sig", "alg": "ES256"})


@pytest.fixture
async def token(nats_url: str, issuer_key: ECKey) -> Callable[..., str]:
    """Sign access tokens of an issuer that the platform knows.

    Call it as `token(roles=("user",), scopes=(), sub="…", lifetime_s=300, **claims)`.
    A client's token is one with `roles=()`.
    """
    connection = await nats.connect(nats_url)
    bucket = await connection.jetstream().create_key_value(KeyValueConfig(bucket="config", history=5))
    jwks = KeySet([issuer_key]).as_dict(private=False)
    await bucket.put("issuers.test", json.dumps({"issuer": ISSUER, "audience": "platform", "jwks": jwks}).encode())
    await connection.close()

    def sign(
        *,
        roles: tuple[str, ...] = ("user",),
        scopes: tuple[str, ...] = (),
        sub: str = "",
        lifetime_s: int = 300,
        **claims: object,
    ) -> str:
        now = int(time.time())
        standard: dict[str, object] = {
            "iss": ISSUER,
            "sub": sub or str(uuid4()),
            "aud": "platform",
            "iat": now,
            "exp": now + lifetime_s,
            "jti": uuid4().hex,
            "client_id": "tests",
            "roles": list(roles),
            "scope": " ".join(scopes),
        }
        header = {"alg": "ES256", "kid": "test", "typ": "at+jwt"}
        return jwt.encode(header, standard | claims, issuer_key, algorithms=["ES256"])

    return sign


@pytest.fixture
def client() -> Client:
    """Drive an app: an async context manager that starts it, yields an HTTP client when it is ready, and stops it."""

    @asynccontextmanager
    async def drive(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
        service: Service = app.state.service
        async with app.router.lifespan_context(app):
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
                try:
                    await eventually(service.health.is_ready, START)
                except TimeoutError as error:
                    raise AssertionError(f"not ready: {(await service.health.readiness()).model_dump()}") from error
                yield http

    return drive
