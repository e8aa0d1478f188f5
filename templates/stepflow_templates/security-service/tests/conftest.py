"""Fixtures: real servers, and the service in front of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import httpx2
import nats
import pytest
from fastapi import FastAPI
from nats.js.api import KeyValueConfig

from service import counters
from service.__main__ import build
from service.settings import Settings

pytest_plugins = ["chassis.testing", "valkeys"]
Drive = Callable[[FastAPI], AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine's Valkey take its time: after `TIMEOUT` a request would pass uncounted."""
    monkeypatch.setattr(counters, "TIMEOUT", 60.0)


@pytest.fixture
async def gateway(nats_url: str) -> str:
    """Set the gateway's URL for the platform."""
    connection = await nats.connect(nats_url)
    bucket = await connection.jetstream().create_key_value(KeyValueConfig(bucket="config", history=5))
    await bucket.put("gateway", json.dumps({"url": "http://gateway.test", "mesh_url": "http://mesh.test"}).encode())
    await connection.close()
    return "http://gateway.test"


@pytest.fixture
async def app(gateway: str, settings_env: dict[str, str], valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The service, not started yet."""
    del gateway, settings_env
    for name, value in {
        "VALKEY_URL": valkey_url,
        "CLIENT_SECRET": "correct horse battery",
        "PROBE_SECRET": "staple staple staple",
    }.items():
        monkeypatch.setenv(name, value)
    return build(Settings())


@pytest.fixture
async def http(app: FastAPI, client: Drive) -> AsyncIterator[httpx2.AsyncClient]:
    """The service, ready."""
    async with client(app) as found:
        yield found
