"""Backing services go away and come back; nothing that was accepted is lost."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest
from notes import hear, notes_router

from chassis.app import Service
from chassis.testing import Client, eventually
from chassis.testing.servers import free_port, nats_in, server_folder


class Switch:
    """A NATS server that can be switched off and on again; its data stays."""

    def __init__(self, folder: Path) -> None:
        self._place = (folder, free_port(), secrets.token_urlsafe(12))
        self._running = ExitStack()
        self.url = ""

    def on(self) -> None:
        self.url = self._running.enter_context(nats_in(*self._place))

    def off(self) -> None:
        self._running.close()


@pytest.fixture
def switch() -> Iterator[Switch]:
    with server_folder("chassis-nats-") as folder:
        nats = Switch(folder)
        nats.on()
        yield nats
        nats.off()


def listening(make_service: Callable[[], Service]) -> Service:
    service = make_service()
    service.consume(
        stream="users",
        durable="notes-hears",
        types=("users.v1.noted",),
        handler=hear,
        database=service.main_database,
    )
    return service


async def heard(service: Service) -> list[str]:
    async with service.main_database.acquire() as connection:
        return [row["text"] for row in await connection.fetch("SELECT text FROM heard ORDER BY ctid")]


async def test_without_nats_writes_are_accepted_and_their_events_arrive_when_it_is_back(
    make_service: Callable[[], Service], client: Client, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_URL", switch.url)
    service = listening(make_service)
    async with client(service.app(notes_router(service))) as http:
        await http.post("/notes", json={"text": "before"})

        async def first() -> bool:
            return await heard(service) == ["before"]

        await eventually(first)
        switch.off()

        async def unready() -> bool:
            return bool((await http.get("/health/ready")).json()["checks"]["nats"] != "ok")

        await eventually(unready)
        assert (await http.get("/health/live")).status_code == 200
        for text in ("during", "still"):
            assert (await http.post("/notes", json={"text": text})).status_code == 201
        switch.on()

        async def everything() -> bool:
            return await heard(service) == ["before", "during", "still"]

        await eventually(everything)
        await eventually(service.health.is_ready)
        await service.config.put("after", {"restart": True})

        async def followed() -> bool:
            return service.config.get("after") == {"restart": True} and "notes.test-1" in service.registry.values

        await eventually(followed)


async def test_a_database_that_drops_its_connections_is_used_again_at_once(
    make_service: Callable[[], Service], client: Client, settings_env: dict[str, str]
) -> None:
    service = listening(make_service)
    async with client(service.app(notes_router(service))) as http:
        admin = await asyncpg.connect(settings_env["DATABASE_URL"])
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        await admin.close()

        async def written() -> bool:
            return (await http.post("/notes", json={"text": "after"})).status_code == 201

        await eventually(written)

        async def arrived() -> bool:
            return "after" in await heard(service)

        await eventually(arrived)


async def test_a_service_waits_for_a_nats_that_is_not_there_yet(
    make_service: Callable[[], Service], client: Client, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_URL", switch.url)
    switch.off()
    service = make_service()
    app = service.app()
    async with app.router.lifespan_context(app):

        async def waiting() -> bool:
            return (await service.health.readiness()).checks == {"start": "waiting for NATS"}

        await eventually(waiting)
        switch.on()
        await eventually(service.health.is_ready)
    async with client(make_service().app()) as http:
        assert (await http.get("/health/ready")).status_code == 200
