"""Real PostgreSQL and NATS, a payment provider that listens, and an order service that is driven in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

import service
from chassis.app import Service
from chassis.database import Database
from chassis.testing.databases import empty_database
from chassis.testing.servers import free_port
from chassis.testing.waiting import eventually
from service import app as order_app
from service.payments import app as payment_app
from service.payments.settings import PaymentSettings
from service.settings import OrderSettings

KEY = "sk_for_tests"
MIGRATIONS = Path(service.__file__).parent / "migrations"
Json = dict[str, Any]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The order service's database, migrated; no service runs on it."""
    opened = Database(SecretStr(database_url), MIGRATIONS)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def payments_url(postgres_session: str) -> AsyncIterator[str]:
    """The URL of an empty database for the payment provider."""
    async with empty_database(postgres_session) as url:
        yield url


@pytest.fixture
async def provider(
    settings_env: Json, nats_url: str, payments_url: str, token: Callable[..., str]
) -> AsyncIterator[FastAPI]:
    """A payment provider that listens on a port of its own and is registered; slow payments take 0.6 s."""
    del settings_env, token  # the issuer of tokens is known before the provider starts
    settings = PaymentSettings(
        port=free_port(),
        instance="payment-provider-1",
        nats_url=SecretStr(nats_url),
        database_url=SecretStr(payments_url),
        payment_api_key=SecretStr(KEY),
        faults_enabled=True,
        slow_seconds=0.6,
    )
    app = payment_app.make(settings)
    config = uvicorn.Config(app, host="127.0.0.1", port=settings.port, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    server.capture_signals = _no_signals  # type: ignore[method-assign]  # the test session keeps its own
    serving = asyncio.create_task(server.serve())
    await eventually(app.state.service.health.is_ready, 60)
    yield app
    server.should_exit = True
    await serving


@contextmanager
def _no_signals() -> Any:  # noqa: ANN401 - a generator that yields nothing
    yield


@dataclass(frozen=True)
class Shop:
    """An order service that runs in this process, as a signed-in customer sees it."""

    http: httpx2.AsyncClient
    app: FastAPI
    payments: Database

    @property
    def database(self) -> Database:
        service: Service = self.app.state.service
        return service.main_database

    async def order(self, *items: tuple[str, int], pay: str = "tok_ok") -> Json:
        body = {"items": [{"sku": sku, "quantity": q} for sku, q in items], "payment": {"token": pay}}
        answer = await self.http.post("/api/orders", json=body)
        assert answer.status_code == 202, answer.text
        placed: Json = answer.json()
        return placed

    async def read(self, order_id: str) -> Json:
        """The order as it is by now: the read model catches up first."""
        answer = await self.http.get(f"/api/orders/{order_id}", headers=await self._by_now())
        assert answer.status_code == 200, answer.text
        read: Json = answer.json()
        return read

    async def settled(self, order_id: str) -> Json:
        """The order when its saga is done."""

        async def done() -> bool:
            async with self.database.acquire() as connection:
                step = await connection.fetchval("SELECT step FROM sagas WHERE order_id = $1", order_id)
            return bool(step == "done")

        await eventually(done, 60)
        return await self.read(order_id)

    async def stock(self, sku: str) -> int:
        products = await self.http.get("/api/products", headers=await self._by_now())
        return next(int(each["stock"]) for each in products.json()["items"] if each["sku"] == sku)

    async def _by_now(self) -> dict[str, str]:
        async with self.database.acquire() as connection:
            return {"If-Consistent-With": str(await connection.fetchval("SELECT max(position) FROM events"))}

    async def captured(self, order_id: str) -> list[str]:
        async with self.payments.acquire() as connection:
            rows = await connection.fetch("SELECT status FROM payments WHERE order_id = $1", order_id)
        return [row["status"] for row in rows]

    def become(self, token: str) -> None:
        """Continue as another caller."""
        self.http.headers["Authorization"] = f"Bearer {token}"

    async def count(self, table: str, where: str = "true") -> int:
        async with self.database.acquire() as connection:
            return int(await connection.fetchval(f"SELECT count(*) FROM {table} WHERE {where}"))  # noqa: S608 - ours


OpenShop = Callable[..., AbstractAsyncContextManager[Shop]]


@pytest.fixture
def open_shop(
    nats_url: str,
    database_url: str,
    provider: FastAPI,
    client: Callable[[FastAPI], AbstractAsyncContextManager[httpx2.AsyncClient]],
    token: Callable[..., str],
) -> OpenShop:
    """Start an order service for a block; keyword arguments are its settings. By default it is very patient."""

    @asynccontextmanager
    async def start(**changed: Any) -> AsyncIterator[Shop]:  # noqa: ANN401 - settings
        values: Json = {"payment_timeout": 4, "payment_patience": 60, "consistency_wait": 30} | changed
        settings = OrderSettings(
            instance="order-service-1",
            nats_url=SecretStr(nats_url),
            database_url=SecretStr(database_url),
            payment_api_key=SecretStr(KEY),
            **values,
        )
        app = order_app.make(settings)
        async with client(app) as http:
            await eventually(lambda: _provider_known(app))
            http.headers["Authorization"] = f"Bearer {token(sub='ada')}"
            yield Shop(http, app, provider.state.service.main_database)

    return start


@pytest.fixture
async def shop(open_shop: OpenShop) -> AsyncIterator[Shop]:
    """An order service with its workers running."""
    async with open_shop() as opened:
        yield opened


def _provider_known(app: FastAPI) -> Awaitable[bool]:
    async def known() -> bool:
        return any(entry["service"] == "payment-provider" for entry in app.state.service.registry.values.values())

    return known()
