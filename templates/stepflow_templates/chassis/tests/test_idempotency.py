"""Creating requests that are repeated have one effect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import httpx2
import pytest
from notes import notes_router

from chassis import idempotency
from chassis.app import Service
from chassis.testing import Client, eventually

Token = Callable[..., str]


async def count(service: Service) -> int:
    async with service.main_database.acquire() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM notes"))


async def effects(service: Service, number: int) -> None:
    async def there() -> bool:
        return await count(service) == number

    await eventually(there)


async def write_slowly(http: httpx2.AsyncClient) -> int:
    return (await http.post("/notes", json={"text": "slow"}, headers={"Idempotency-Key": "k-1"})).status_code


async def let_pass(service: Service, seconds: float) -> None:
    """Make it so many seconds longer ago that the lease of the key was renewed."""
    async with service.main_database.acquire() as connection:
        await connection.execute(
            "UPDATE idempotency_keys SET created_at = created_at - make_interval(secs => $1)", seconds
        )


async def renewed(service: Service) -> bool:
    async with service.main_database.acquire() as connection:
        return bool(await connection.fetchval("SELECT created_at > now() - interval '3 seconds' FROM idempotency_keys"))


async def test_the_same_request_gets_the_same_answer_and_has_one_effect(
    make_service: Callable[[], Service], client: Client
) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http:
        key = {"Idempotency-Key": "k-1"}
        first = await http.post("/notes", json={"text": "a"}, headers=key)
        again = await http.post("/notes", json={"text": "a"}, headers=key)
        assert (again.status_code, again.json()) == (first.status_code, first.json()) == (201, {"id": 1})
        assert again.headers["idempotency-replayed"] == "true"
        assert await count(service) == 1
        other = await http.post("/notes", json={"text": "b"}, headers=key)
        assert (other.status_code, other.json()["title"]) == (422, "Idempotency key reused")


async def test_of_requests_at_the_same_time_one_is_carried_out(
    make_service: Callable[[], Service], client: Client
) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http:
        key = {"Idempotency-Key": "k-1"}
        answers = await asyncio.gather(*(http.post("/notes", json={"text": "a"}, headers=key) for _ in range(5)))
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert await count(service) == 1


async def test_however_long_an_answer_takes_no_one_else_begins_the_same(
    make_service: Callable[[], Service], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "RENEW_EVERY", 0.02)
    service, held = make_service(), asyncio.Event()
    async with client(service.app(notes_router(service, held))) as http:
        first = asyncio.create_task(write_slowly(http))
        await effects(service, 1)
        for _ in range(3):  # together longer than a lease
            await let_pass(service, idempotency.LEASE - 1)
            await eventually(partial(renewed, service))
            assert await write_slowly(http) == 409
        held.set()
        assert await first == await write_slowly(http) == 201
        assert await count(service) == 1


async def test_the_key_of_who_does_not_renew_its_lease_is_free(
    make_service: Callable[[], Service], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "RENEW_EVERY", 3600.0)
    service, held = make_service(), asyncio.Event()
    async with client(service.app(notes_router(service, held))) as http:
        dead = asyncio.create_task(write_slowly(http))
        await effects(service, 1)
        await let_pass(service, idempotency.LEASE + 1)
        other = asyncio.create_task(write_slowly(http))
        await effects(service, 2)
        held.set()
        assert await other == await dead == 201
        assert await count(service) == 2


async def test_a_request_that_failed_can_be_repeated(make_service: Callable[[], Service], client: Client) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http:
        key = {"Idempotency-Key": "k-1"}
        for _ in range(2):
            assert (await http.post("/notes", json={"text": "fail"}, headers=key)).status_code == 409
        assert await count(service) == 2
        assert (await http.post("/notes", json={"text": ""}, headers=key)).status_code == 201


async def test_keys_of_different_callers_do_not_meet(
    make_service: Callable[[], Service], client: Client, token: Token
) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http:
        ids = []
        for subject in ("alice", "bob"):
            headers = {"Idempotency-Key": "k-1", "Authorization": f"Bearer {token(sub=subject)}"}
            ids.append((await http.post("/notes", json={"text": subject}, headers=headers)).json()["id"])
        assert ids == [1, 2]
