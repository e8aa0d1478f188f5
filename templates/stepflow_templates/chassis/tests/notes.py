"""A small service to try the chassis on."""

from __future__ import annotations

import asyncio
from typing import Annotated

import asyncpg
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field, SecretStr

from chassis.app import Service
from chassis.auth import Principal, authenticated, require_role, require_scope
from chassis.events import Event, Outbox, Reject
from chassis.idempotency import idempotent
from chassis.problem import Problem
from chassis.settings import Settings

MIGRATION = """
CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL);
CREATE TABLE heard (id text NOT NULL, text text NOT NULL);
"""


class NotesSettings(Settings):
    """Settings of the service under test."""

    service: str = "notes"
    database_url: SecretStr


class Note(BaseModel):
    """What is written."""

    text: str = Field(max_length=1000)


class Book(BaseModel):
    """Notes within something."""

    pages: list[Note]


async def hear(connection: asyncpg.Connection, event: Event) -> None:
    """Record what arrived; some words are special."""
    text = event.data["text"]
    if text == "poison":
        raise Reject("poison is not for us")
    if text == "broken":
        raise ValueError("cannot read this")
    await connection.execute("INSERT INTO heard (id, text) VALUES ($1, $2)", event.id, text)


def notes_router(service: Service, held: asyncio.Event | None = None) -> APIRouter:
    """Make the routes; with `held`, the answer to the note `slow` waits for it."""
    router = APIRouter()

    @router.post("/notes", status_code=201, dependencies=[Depends(idempotent)])
    async def write(note: Note) -> dict[str, int]:
        async with service.main_database.transaction() as connection:
            number = await connection.fetchval("INSERT INTO notes (text) VALUES ($1) RETURNING id", note.text)
            await Outbox.put(connection, Event("users.v1.noted", str(number), {"text": note.text}))
        if note.text == "slow" and held:
            await held.wait()
        if note.text == "fail":
            raise Problem(409, "Refused")
        return {"id": number}

    @router.get("/notes/{number}")
    async def read(number: int) -> dict[str, int]:
        return {"id": number}

    @router.delete("/notes/{number}", status_code=204)
    async def remove(number: int) -> None:
        del number

    @router.get("/who")
    async def who(caller: Annotated[Principal, Depends(authenticated)]) -> dict[str, str]:
        return {"subject": caller.subject}

    @router.get("/admin", dependencies=[Depends(require_role("admin"))])
    async def admin() -> dict[str, str]:
        return {}

    @router.get("/scoped", dependencies=[Depends(require_scope("notes:read"))])
    async def scoped() -> dict[str, str]:
        return {}

    @router.get("/crash")
    async def crash(request: Request) -> dict[str, str]:
        raise RuntimeError(f"secret of {request.url}")

    return router
