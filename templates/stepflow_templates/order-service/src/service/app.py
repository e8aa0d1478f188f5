"""Assembles the order service."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

import asyncpg
from fastapi import FastAPI

from chassis.app import Service
from chassis.events import Event
from chassis.http import ServiceClient
from service.api import orders, products
from service.api.consistency import Freshness
from service.fulfilment import Fulfilment
from service.provider import HttpPaymentProvider
from service.published import PUBLISHED
from service.seeding import seed
from service.settings import OrderSettings
from service.storage import projections, views
from service.storage.erasure import erase_tests
from service.storage.signals import Signals

VERSION = "0.1.0"


def make(settings: OrderSettings) -> FastAPI:
    """Make the app, with its saga workers and projections."""
    service = Service(
        settings,
        title="Order service",
        version=VERSION,
        summary="Orders by event sourcing, CQRS and a saga.",
        routes=("/api/orders", "/api/products"),
        public=("GET /api/products",),
        publishes=PUBLISHED,
        meta={"asyncapi": "/asyncapi.json"},
    )
    database = service.database(migrations=Path(__file__).parent / "migrations")
    signals = Signals(database)
    client = ServiceClient(service, "payment-provider", timeout=settings.payment_timeout, retries=0)
    provider = HttpPaymentProvider(client, settings.payment_api_key)
    fulfilment = Fulfilment(database, provider, timedelta(seconds=settings.payment_patience))

    async def open_shop() -> None:
        await seed(database, settings.currency)
        for projection in views.ALL:
            await projections.catch_up(database, projection)

    async def on_deleted(connection: asyncpg.Connection, event: Event) -> None:
        if event.test:
            await erase_tests(connection, event.subject)

    service.on_start(open_shop)
    service.consume(
        stream="users",
        durable=settings.service,
        types=("users.v1.deleted",),
        handler=on_deleted,
        database=database,
        tests=True,
    )
    service.background("signals", signals.run)
    for projection in views.ALL:
        service.background(f"projection {projection.name}", partial(projections.keep_up, database, projection, signals))
    for number in range(settings.saga_workers):
        service.background(f"saga worker {number + 1}", partial(fulfilment.run, signals))
    freshness = Freshness(database, signals, settings.consistency_wait)
    app = service.app(
        orders.commands(database),
        orders.questions(database, freshness),
        products.catalogue(database, freshness),
    )
    app.state.provider = provider
    return app
