"""A service: what it consists of, how it starts, and how it stops.

Starting happens in the background, so that probes are answered from the first moment; the service joins the registry
when everything it needs is available.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from chassis import asyncapi, edge, openapi, problem
from chassis.auth.tokens import TokenVerifier
from chassis.bus import Bus
from chassis.config import LiveConfig
from chassis.consumer import AnyHandler, Consumer
from chassis.database import Database
from chassis.dead_letters import dead_letters_router
from chassis.events.outbox import Relay
from chassis.export import Exporter
from chassis.health import Check, Health, Liveness, health_router
from chassis.idempotency import IdempotencyMiddleware, purge_keys
from chassis.metrics import build_info
from chassis.mirror import BucketMirror
from chassis.registration import BUCKET as REGISTRY
from chassis.registration import Registration
from chassis.serving import serve
from chassis.settings import HasDatabase, Settings
from chassis.tasks import Tasks
from chassis.telemetry import Telemetry

__all__ = ["Service", "serve"]
log = logging.getLogger(__name__)
MAX_BODY = 1_048_576  # bytes
RETRY = (0.1, 2.0)  # seconds between attempts to start, first and longest


class Service:
    """One service of the platform. Nothing happens before its app is started.

    `routes` are the path prefixes that the gateway sends here. `public` are the routes that need no token, as
    `METHOD[,METHOD] PATH`; a trailing `*` makes the path a prefix, GET includes HEAD. `publishes` maps the types of
    its events to the models of their `data`, for `/asyncapi.json`. `meta` adds to the registry entry
    (`ui`, `openapi`). Paths that start with one of `quiet` leave no spans, metrics or log lines.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        title: str,
        version: str,
        summary: str = "",
        routes: tuple[str, ...] = (),
        public: tuple[str, ...] = (),
        publishes: Mapping[str, type[BaseModel]] | None = None,
        meta: Mapping[str, Any] | None = None,
        max_body: int = MAX_BODY,
        quiet: tuple[str, ...] = (),
    ) -> None:
        self.settings = settings
        self.title, self.version, self.summary = title, version, summary
        self.publishes = dict(publishes or {})
        self.max_body, self.quiet = max_body, quiet
        self.bus = Bus(settings.nats_url, settings.instance_name, replicas=settings.nats_replicas)
        self.config = LiveConfig(self.bus)
        self.registry = BucketMirror(self.bus, REGISTRY)
        self.telemetry = Telemetry(settings.service, settings.instance_name, version)
        self.tokens = TokenVerifier(self.config)
        self.health = Health()
        self.consumers: list[Consumer] = []
        self.databases: list[Database] = []
        self.tasks = Tasks()
        self._exporter = Exporter(self.telemetry)
        self._start_hooks: list[Callable[[], Awaitable[None]]] = []
        self._stop_hooks: list[Callable[[], Awaitable[None]]] = []
        self._background: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        entry = {
            "service": settings.service,
            "instance": settings.instance_name,
            "address": settings.advertised,
            "port": settings.port,
            "routes": list(routes),
            "version": version,
            "public": list(public),
            "meta": {"openapi": "/openapi.json", **(meta or {})},
        }
        self.registration = Registration(self.bus, entry, self.health.is_ready)
        self.config.on_change("telemetry", self._exporter.configure)
        self.health.add("nats", self._check_bus)

    def database(self, migrations: Path) -> Database:
        """Use the database of the setting `database_url`; it is opened, migrated and its outbox published at start."""
        if not isinstance(self.settings, HasDatabase):
            raise TypeError("the settings have no `database_url: SecretStr`")
        database = Database(self.settings.database_url, migrations)
        self.databases.append(database)
        self.health.add("database", database.check)
        self.background("outbox", Relay(database, self.bus).run)
        self.background("idempotency-keys", lambda: purge_keys(database))
        return database

    @property
    def main_database(self) -> Database:
        """Return the service's database. Raises `RuntimeError` where it has none."""
        if not self.databases:
            raise RuntimeError(f"`{self.settings.service}` has no database: call `service.database(...)` first")
        return self.databases[0]

    def consume(
        self,
        *,
        stream: str,
        durable: str,
        types: tuple[str, ...],
        handler: AnyHandler,
        database: Database | None = None,
        tests: bool = False,
    ) -> None:
        """Handle events in order, exactly once in effect with a `database`: see `chassis.consumer`.

        With `tests` also those of test accounts, which the handler must keep out of everything that counts.
        """
        service = self.settings.service
        self.consumers.append(Consumer(self.bus, service, stream, durable, types, handler, database, tests))

    def background(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run it while the app runs; it is restarted with back-off when it raises."""
        self._background.append((name, run))

    def on_start(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Run it once when database and bus are available, before the service is ready; retried when it raises."""
        self._start_hooks.append(hook)

    def on_stop(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Run it once at the end, when requests and background tasks are done."""
        self._stop_hooks.append(hook)

    def ready_check(self, name: str, check: Check) -> None:
        """Make readiness depend on it: it returns when all is well, and raises otherwise."""
        self.health.add(name, check)

    def app(self, *routers: APIRouter) -> FastAPI:
        """Make the ASGI app."""
        app = FastAPI(
            title=self.title,
            version=self.version,
            summary=self.summary or None,
            lifespan=self._lifespan,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
        )
        app.state.service = self
        problem.install(app)
        openapi.install(app)
        settings = self.settings
        liveness = Liveness(service=settings.service, instance=settings.instance_name, version=self.version)
        app.include_router(health_router(self.health, liveness))
        for router in routers:
            app.include_router(router)
        app.add_api_route("/asyncapi.json", self._describe_events, include_in_schema=False)
        if self.consumers:
            app.include_router(dead_letters_router(self))
        app.add_middleware(IdempotencyMiddleware)
        app.add_middleware(edge.Edge, max_body=self.max_body, quiet=self.quiet)
        build_info(settings.service, self.version)
        return app

    async def _describe_events(self) -> dict[str, Any]:
        consumed = [one for consumer in self.consumers for one in consumer.types]
        return asyncapi.describe(self.title, self.version, self.publishes, consumed)

    async def drain(self) -> None:
        """Stop: not ready, out of the registry, then wait until no more requests arrive."""
        self.health.draining = True
        await self.registration.leave()
        await asyncio.sleep(self.settings.drain_seconds)

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        del app
        self.tasks.start("start", self._start)
        try:
            yield
        finally:
            self.health.draining = True
            await self.registration.leave()
            await self.tasks.stop()
            for hook in self._stop_hooks:
                await hook()
            await self._exporter.flush()
            await self.bus.close()
            for database in self.databases:
                await database.close()

    async def _start(self) -> None:
        self.tasks.start("nats", self.bus.connect)
        for database in self.databases:
            await self._until_done("PostgreSQL", database.open)
        self.health.starting = "waiting for NATS"
        await self.bus.jetstream()
        self.tasks.start("config", self.config.run)
        self.tasks.start("registry", self.registry.run)
        await self._until_done("the live configuration", lambda: self.config.wait_loaded(5))
        for hook in self._start_hooks:
            await self._until_done(f"`{getattr(hook, '__name__', hook)}`", hook)
        self.tasks.start("telemetry", self._exporter.run)
        for name, run in self._background:
            self.tasks.start(name, run)
        for consumer in self.consumers:
            self.tasks.start(f"consumer {consumer.durable}", consumer.run)
        self.health.started = True
        self.tasks.start("registration", self.registration.run)
        log.info("ready", extra={"port": self.settings.port})

    async def _until_done(self, what: str, attempt: Callable[[], Awaitable[None]]) -> None:
        """Retry until it works; readiness shows what is waited for and the last error."""
        wait, longest = RETRY
        self.health.starting = f"waiting for {what}"
        while True:
            try:
                await attempt()
            except Exception as error:  # noqa: BLE001 - whatever it is, probes show it and the next attempt may work
                text = f"waiting for {what}: {type(error).__name__}: {error}".rstrip(": ")
                if text != self.health.starting:
                    log.warning(text)
                self.health.starting = text
                await asyncio.sleep(wait)
                wait = min(longest, wait * 2)
            else:
                return

    async def _check_bus(self) -> None:
        if not self.bus.connected:
            raise ConnectionError("not connected")
