"""Accounts of checks: only administrators open them, what they do is marked, and no row of them is left."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from functools import partial

import httpx2
import pytest
from fastapi import FastAPI
from people import ADMIN, Person, sign_in

from chassis.app import Service
from chassis.events import Event
from chassis.testing import Client, eventually

EMAIL, PASSWORD = "check@checks.invalid", "correct horse"
CHECK = {"email": EMAIL, "password": PASSWORD, "name": "A Check", "test": True}


async def open_one(http: httpx2.AsyncClient, admin: Person) -> Person:
    answer = await http.post("/api/users", json=CHECK, headers=admin.headers)
    assert (answer.status_code, answer.json()["test"]) == (201, True)
    return await sign_in(http, EMAIL, PASSWORD)


def claims_of(person: Person) -> dict[str, object]:
    payload = person.headers["Authorization"].split(".")[1]
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return claims


async def test_no_one_but_an_administrator_opens_a_test_account(
    http: httpx2.AsyncClient, person: Callable[[], Awaitable[Person]], token: Callable[..., str]
) -> None:
    user = await person()
    client = {"Authorization": f"Bearer {token(roles=(), scopes=('users:read', 'orders:write'), sub='a-client')}"}
    for headers in ({}, user.headers, client):
        answer = await http.post("/api/users", json=CHECK, headers=headers)
        assert (answer.status_code, answer.json()["detail"]) == (403, "A test account is opened by an administrator.")
    assert (await http.patch("/api/users/me", json={"test": True}, headers=user.headers)).status_code == 422
    forged = await http.post("/api/users", json=CHECK, headers={"Authorization": "Bearer a.b.c"})
    assert forged.status_code == 401


async def test_the_address_of_a_check_makes_no_test_account(http: httpx2.AsyncClient) -> None:
    stranger = {**CHECK, "test": False}
    assert (await http.post("/api/users", json=stranger)).json()["test"] is False
    assert "test" not in claims_of(await sign_in(http, EMAIL, PASSWORD))


async def test_the_token_of_a_test_account_says_so_and_refreshed_ones_too(
    http: httpx2.AsyncClient, admin: Person
) -> None:
    check = await open_one(http, admin)
    assert claims_of(check)["test"] is True
    assert "test" not in claims_of(admin)
    again = await http.post("/api/auth/refresh", json={"refresh_token": check.refresh_token})
    renewed = Person("", "", "", "", {"Authorization": f"Bearer {again.json()['access_token']}"})
    assert claims_of(renewed)["test"] is True


async def test_lists_of_people_leave_test_accounts_out(http: httpx2.AsyncClient, admin: Person) -> None:
    check = await open_one(http, admin)

    async def listed(query: str) -> list[str]:
        items = (await http.get(f"/api/users{query}", headers=admin.headers)).json()["items"]
        return [each["email"] for each in items]

    assert await listed("") == [ADMIN[0]]
    assert await listed("?q=check") == []
    assert await listed("?test=true") == [check.email]


async def test_a_test_account_cannot_become_an_administrator(http: httpx2.AsyncClient, admin: Person) -> None:
    """It would be the last one when the checks end, which delete it."""
    check = await open_one(http, admin)
    answer = await http.patch(f"/api/users/{check.id}", json={"roles": ["admin"]}, headers=admin.headers)
    assert (answer.status_code, answer.json()["detail"]) == (409, "A test account cannot be an administrator.")


@pytest.mark.parametrize("by_admin", [False, True])
async def test_of_a_deleted_test_account_no_row_is_left_and_its_events_are_marked(
    make_app: Callable[[], FastAPI], client: Client, *, by_admin: bool
) -> None:
    app = make_app()
    told: list[Event] = []

    async def listen(event: Event) -> None:
        told.append(event)

    service: Service = app.state.service
    types = ("users.v1.registered", "users.v1.updated", "users.v1.deleted")
    service.consume(stream="users", durable="test", types=types, handler=listen, tests=True)
    async with client(app) as http:
        admin = await sign_in(http, *ADMIN)
        before = await rows(service)
        check = await open_one(http, admin)
        await http.patch("/api/users/me", json={"name": "Renamed"}, headers=check.headers)
        path, who = (f"/api/users/{check.id}", admin) if by_admin else ("/api/users/me", check)
        assert (await http.delete(path, headers=who.headers)).status_code == 204
        assert await rows(service) == before
        await eventually(partial(said, told, "users.v1.deleted"))
    assert [(event.type, event.test) for event in told if event.subject == check.id] == [(each, True) for each in types]
    assert [event.test for event in told if event.subject == admin.id] == [False]


async def said(told: list[Event], kind: str) -> bool:
    return any(event.type == kind for event in told)


async def rows(service: Service) -> list[int]:
    tables = ("users", "sessions", "refresh_tokens", "sign_in_failures")
    async with service.main_database.acquire() as connection:
        return [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables]  # noqa: S608 - ours
