"""Fixtures of all tests: the service on real servers, and people who use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from people import ADMIN, Person, sign_in

from chassis.settings import load
from service.assembly import build
from service.settings import UserSettings

if TYPE_CHECKING:
    from chassis.testing import Client  # imported by pytest as a plugin

pytest_plugins = ["chassis.testing"]


@pytest.fixture
def make_app(settings_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[[], FastAPI]:
    """Make apps on the same servers: each call is another replica."""
    del settings_env
    for name, value in {"ADMIN_EMAIL": ADMIN[0], "ADMIN_PASSWORD": ADMIN[1], "ARGON2_MEMORY_KIB": "8192"}.items():
        monkeypatch.setenv(name, value)
    return lambda: build(load(UserSettings))


@pytest.fixture
async def http(make_app: Callable[[], FastAPI], client: Client) -> AsyncIterator[httpx2.AsyncClient]:
    """The running service."""
    async with client(make_app()) as running:
        yield running


@pytest.fixture
def person(http: httpx2.AsyncClient) -> Callable[[], Awaitable[Person]]:
    """Register a user and sign them in."""

    async def make() -> Person:
        email, password = f"p-{uuid4().hex}@example.com", "correct horse"
        answer = await http.post("/api/users", json={"email": email, "password": password, "name": "P"})
        assert answer.status_code == 201, answer.text
        return await sign_in(http, email, password)

    return make


@pytest.fixture
async def admin(http: httpx2.AsyncClient) -> Person:
    """The administrator that the service made at its start."""
    return await sign_in(http, *ADMIN)
