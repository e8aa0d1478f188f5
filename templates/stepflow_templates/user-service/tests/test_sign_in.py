"""Signing in, staying signed in, signing out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx2
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import KeySet
from people import ADMIN, Person

from chassis.app import Service
from chassis.testing import Client, eventually
from service import lockout

People = Callable[[], Awaitable[Person]]
WAIT = 300  # seconds that an address is locked: longer than a test takes


async def test_a_token_says_who_for_which_audience_and_is_signed_with_a_published_key(
    http: httpx2.AsyncClient, person: People
) -> None:
    user = await person()
    keys = KeySet.import_key_set((await http.get("/api/auth/jwks.json")).json())
    token = jwt.decode(user.headers["Authorization"].split()[1], keys, algorithms=["ES256"])
    assert token.header["typ"] == "at+jwt"
    claims = token.claims
    assert (claims["iss"], claims["aud"], claims["sub"]) == ("urn:stepflow:users", "platform", user.id)
    assert (claims["roles"], claims["client_id"], claims["exp"] - claims["iat"]) == (["user"], "first-party", 900)


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(
    http: httpx2.AsyncClient, person: People
) -> None:
    user = await person()
    wrong = await http.post("/api/auth/login", json={"email": user.email, "password": "wrong"})
    unknown = await http.post("/api/auth/login", json={"email": "nobody@example.com", "password": "wrong"})
    assert (wrong.status_code, wrong.json()) == (unknown.status_code, unknown.json())
    assert wrong.json()["detail"] == "The address or the password is wrong."
    assert wrong.headers["www-authenticate"] == "Bearer"


async def test_hostile_text_is_refused_not_crashed_on(http: httpx2.AsyncClient) -> None:
    for body in (b'{"email": "a\\u0000b", "password": "x"}', b'{"email": "\\ud800", "password": "x"}'):
        answer = await http.post("/api/auth/login", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/email")
    odd = await http.post("/api/auth/login", json={"email": "a", "password": "\0" * 9})
    assert odd.status_code == 401


@pytest.mark.parametrize("known", [True, False])
async def test_guessing_is_locked_out_for_known_and_unknown_addresses_alike(
    http: httpx2.AsyncClient, person: People, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    monkeypatch.setattr(lockout, "FIRST_WAIT", WAIT)
    user = await person()
    email = user.email if known else "nobody@example.com"
    for _ in range(5):
        await http.post("/api/auth/login", json={"email": email, "password": "wrong"})
    locked = await http.post("/api/auth/login", json={"email": email.upper(), "password": user.password})
    assert (locked.status_code, locked.json()["title"]) == (429, "Too many failed sign-ins")
    assert 1 <= int(locked.headers["retry-after"]) <= WAIT
    other = await person()
    assert (await http.get("/api/users/me", headers=other.headers)).status_code == 200


async def test_guesses_at_once_are_counted_as_well(
    http: httpx2.AsyncClient, person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockout, "FIRST_WAIT", WAIT)
    user = await person()
    guess = {"email": user.email, "password": "wrong"}
    answers = await asyncio.gather(*(http.post("/api/auth/login", json=guess) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 7


async def test_a_success_forgives_the_failures(http: httpx2.AsyncClient, person: People) -> None:
    user = await person()
    for _ in range(3):
        for _ in range(4):
            await http.post("/api/auth/login", json={"email": user.email, "password": "wrong"})
        right = {"email": user.email, "password": user.password}
        assert (await http.post("/api/auth/login", json=right)).status_code == 200


async def test_a_refresh_token_works_once_and_using_it_again_ends_the_session(
    http: httpx2.AsyncClient, person: People
) -> None:
    user = await person()
    first = {"refresh_token": user.refresh_token}
    answer = await http.post("/api/auth/refresh", json=first)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    second = {"refresh_token": answer.json()["refresh_token"]}
    assert (await http.post("/api/auth/refresh", json=first)).status_code == 401
    assert (await http.post("/api/auth/refresh", json=second)).status_code == 401


async def test_of_refreshes_at_once_one_succeeds(http: httpx2.AsyncClient, person: People) -> None:
    user = await person()
    body = {"refresh_token": user.refresh_token}
    answers = await asyncio.gather(*(http.post("/api/auth/refresh", json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_signing_out_ends_the_session_and_says_nothing_about_unknown_tokens(
    http: httpx2.AsyncClient, person: People
) -> None:
    user = await person()
    body = {"refresh_token": user.refresh_token}
    assert (await http.post("/api/auth/logout", json=body)).status_code == 204
    assert (await http.post("/api/auth/refresh", json=body)).status_code == 401
    assert (await http.post("/api/auth/logout", json={"refresh_token": "unknown"})).status_code == 204


async def test_sessions_are_listed_and_ended_one_by_one(http: httpx2.AsyncClient, person: People) -> None:
    user, other = await person(), await person()
    again = {"email": user.email, "password": user.password}
    elsewhere = (await http.post("/api/auth/login", json=again, headers={"User-Agent": "phone"})).json()
    listed = (await http.get("/api/users/me/sessions", headers=user.headers)).json()["items"]
    phone = next(one for one in listed if one["user_agent"] == "phone")
    assert len(listed) == 2
    path = f"/api/users/me/sessions/{phone['id']}"
    assert (await http.delete(path, headers=other.headers)).status_code == 404
    assert (await http.delete(path, headers=user.headers)).status_code == 204
    refused = await http.post("/api/auth/refresh", json={"refresh_token": elsewhere["refresh_token"]})
    assert refused.status_code == 401


async def test_an_old_hash_is_renewed_at_the_next_sign_in(
    make_app: Callable[[], FastAPI], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"email": "ada@example.com", "password": "correct horse"}
    async with client(make_app()) as http:
        await http.post("/api/users", json={**body, "name": "Ada"})
    monkeypatch.setenv("ARGON2_MEMORY_KIB", "9000")
    app = make_app()
    async with client(app) as http:
        assert (await http.post("/api/auth/login", json=body)).status_code == 200
        service: Service = app.state.service
        async with service.main_database.acquire() as connection:
            found = await connection.fetchval("SELECT password_hash FROM users WHERE email = $1", body["email"])
    assert found.startswith("$argon2id$v=19$m=9000,t=2,p=1$")


async def test_two_replicas_make_one_administrator_and_accept_each_others_tokens(
    make_app: Callable[[], FastAPI], client: Client
) -> None:
    first, second = make_app(), make_app()
    async with client(first) as one, client(second) as two:
        tokens = (await one.post("/api/auth/login", json={"email": ADMIN[0], "password": ADMIN[1]})).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}

        async def accepted() -> bool:
            return (await two.get("/api/users", headers=headers)).status_code == 200

        await eventually(accepted)
        users = (await two.get("/api/users", headers=headers)).json()["items"]
        assert [(user["email"], user["roles"]) for user in users] == [(ADMIN[0], ["admin", "user"])]
