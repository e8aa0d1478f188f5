"""Accounts: opened, read, changed, listed, deleted, and published."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from people import Person, sign_in

from chassis.app import Service
from chassis.events import Event
from chassis.testing import Client, eventually
from service.account import address_key, checked_address, checked_name, checked_password

People = Callable[[], Awaitable[Person]]
NEW = {"email": "ada@example.com", "password": "correct horse", "name": "Ada"}


async def test_registering_answers_with_the_account_its_place_and_its_version(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/api/users", json=NEW)
    user = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
    assert answer.headers["location"] == f"/api/users/{user['id']}"
    assert (user["email"], user["name"], user["roles"], user["version"]) == ("ada@example.com", "Ada", ["user"], 1)
    assert "password" not in answer.text


async def test_an_address_has_one_account_whatever_its_case(http: httpx2.AsyncClient) -> None:
    await http.post("/api/users", json=NEW)
    answer = await http.post("/api/users", json=NEW | {"email": "ADA@Example.com"})
    assert (answer.status_code, answer.json()["title"]) == (409, "Address taken")


@pytest.mark.parametrize(
    ("member", "value", "detail"),
    [
        ("email", "not an address", "Value error, not an e-mail address"),
        ("email", "a@b.example\nBcc: x@y.example", "Value error, not an e-mail address"),
        ("password", "short", "String should have at least 8 characters"),
        ("password", "Password1", "Value error, this password is one of the first that are guessed"),
        ("password", "aaaaaaaaaaaa", "Value error, this password is one of the first that are guessed"),
        ("name", " \t ", "Value error, a name needs visible characters, and no control characters"),
        ("roles", ["admin"], "Extra inputs are not permitted"),
    ],
)
async def test_values_that_will_not_do_are_pointed_at(
    http: httpx2.AsyncClient, member: str, value: object, detail: str
) -> None:
    answer = await http.post("/api/users", json=NEW | {member: value})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": f"#/{member}", "detail": detail}]


async def test_registering_again_with_the_same_key_opens_no_second_account(http: httpx2.AsyncClient) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first, again = [await http.post("/api/users", json=NEW, headers=key) for _ in range(2)]
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again.headers["location"] == first.headers["location"]
    other = await http.post("/api/users", json=NEW | {"name": "Bea"}, headers=key)
    assert other.status_code == 422


async def test_no_one_reads_changes_or_deletes_what_is_another_owners(http: httpx2.AsyncClient, person: People) -> None:
    user, other = await person(), await person()
    path = f"/api/users/{other.id}"
    answers = [
        await http.get(path, headers=user.headers),
        await http.patch(path, json={"name": "Taken over"}, headers=user.headers),
        await http.delete(path, headers=user.headers),
        await http.get(f"/api/users/{uuid4()}", headers=user.headers),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert (await http.get("/api/users", headers=user.headers)).status_code == 403
    assert (await http.get(path)).status_code == 401
    mine = await http.get(f"/api/users/{user.id}", headers=user.headers)
    assert mine.json()["email"] == user.email


async def test_no_one_makes_themselves_administrator(http: httpx2.AsyncClient, person: People) -> None:
    user = await person()
    answer = await http.patch("/api/users/me", json={"roles": ["admin"]}, headers=user.headers)
    assert (answer.status_code, answer.json()["detail"]) == (403, "Only an administrator may change roles.")


async def test_a_merge_patch_changes_what_it_names(http: httpx2.AsyncClient, person: People) -> None:
    user = await person()
    headers = user.headers | {"Content-Type": "application/merge-patch+json", "If-Match": '"1"'}
    answer = await http.patch("/api/users/me", content=b'{"name": "Countess"}', headers=headers)
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert (answer.json()["name"], answer.json()["email"]) == ("Countess", user.email)
    stale = await http.patch("/api/users/me", content=b'{"name": "Lost"}', headers=headers)
    assert (stale.status_code, stale.headers["etag"]) == (412, '"2"')
    nothing = await http.patch("/api/users/me", json={}, headers=user.headers)
    assert (nothing.status_code, nothing.headers["etag"]) == (200, '"2"')
    removed = await http.patch("/api/users/me", json={"name": None}, headers=user.headers)
    assert removed.status_code == 422


async def test_a_new_password_needs_the_old_one_and_ends_all_sessions(http: httpx2.AsyncClient, person: People) -> None:
    user = await person()
    change = {"password": "a better horse"}
    refused = await http.patch("/api/users/me", json=change, headers=user.headers)
    assert refused.json()["errors"] == [{"pointer": "#/current_password", "detail": "not the current password"}]
    change["current_password"] = user.password
    assert (await http.patch("/api/users/me", json=change, headers=user.headers)).status_code == 200
    old = {"refresh_token": user.refresh_token}
    assert (await http.post("/api/auth/refresh", json=old)).status_code == 401
    for password, status in ((user.password, 401), (change["password"], 200)):
        body = {"email": user.email, "password": password}
        assert (await http.post("/api/auth/login", json=body)).status_code == status


async def test_a_deleted_account_is_gone_and_its_address_free(http: httpx2.AsyncClient, person: People) -> None:
    user = await person()
    stale = await http.delete("/api/users/me", headers=user.headers | {"If-Match": '"9"'})
    assert stale.status_code == 412
    assert (await http.delete("/api/users/me", headers=user.headers)).status_code == 204
    assert (await http.get("/api/users/me", headers=user.headers)).status_code == 404
    credentials = {"email": user.email, "password": user.password}
    assert (await http.post("/api/auth/login", json=credentials)).status_code == 401
    again = await http.post("/api/users", json={**credentials, "name": "Again"})
    assert (again.status_code, again.json()["id"] == user.id) == (201, False)


async def test_administrators_list_search_page_and_promote(
    http: httpx2.AsyncClient, person: People, admin: Person
) -> None:
    people = [await person() for _ in range(3)]
    seen: list[str] = []
    url = "/api/users?limit=2&q=p-"
    while url:
        page = await http.get(url, headers=admin.headers)
        seen += [user["email"] for user in page.json()["items"]]
        url = page.headers["link"].split(">")[0].lstrip("<") if "link" in page.headers else ""
    assert seen == [one.email for one in people]
    wild = await http.get("/api/users?q=%25", headers=admin.headers)
    assert wild.json() == {"items": [], "next": None}
    promoted = await http.patch(f"/api/users/{people[0].id}", json={"roles": ["admin"]}, headers=admin.headers)
    assert promoted.json()["roles"] == ["admin", "user"]


async def test_the_last_administrator_stays(http: httpx2.AsyncClient, admin: Person) -> None:
    for answer in (
        await http.delete("/api/users/me", headers=admin.headers),
        await http.patch("/api/users/me", json={"roles": ["user"]}, headers=admin.headers),
    ):
        assert (answer.status_code, answer.json()["title"]) == (409, "Last administrator")


async def test_a_client_reads_accounts_with_the_scope_only(
    http: httpx2.AsyncClient, person: People, token: Callable[..., str]
) -> None:
    user = await person()
    for scopes, status in (((), 404), (("users:read",), 200)):
        headers = {"Authorization": f"Bearer {token(roles=(), scopes=scopes, sub='a-client')}"}
        assert (await http.get(f"/api/users/{user.id}", headers=headers)).status_code == status


async def test_every_change_is_told_on_the_stream(make_app: Callable[[], FastAPI], client: Client) -> None:
    app = make_app()
    told: list[Event] = []

    async def listen(event: Event) -> None:
        told.append(event)

    service: Service = app.state.service
    types = ("users.v1.registered", "users.v1.updated", "users.v1.deleted")
    service.consume(stream="users", durable="test", types=types, handler=listen)
    async with client(app) as http:
        identity = (await http.post("/api/users", json=NEW)).json()["id"]
        ada = await sign_in(http, NEW["email"], NEW["password"])
        await http.patch("/api/users/me", json={"name": "Countess"}, headers=ada.headers)
        await http.delete("/api/users/me", headers=ada.headers)

        async def deleted() -> bool:
            return any(event.type == "users.v1.deleted" for event in told)

        await eventually(deleted)
    about = [event for event in told if event.subject == identity]
    assert [event.type for event in about] == list(types)
    assert {event.source for event in about} == {"user-service"}
    account = {"user_id": identity, "email": "ada@example.com"}
    assert about[0].data.pop("registered_at").endswith("Z")
    assert about[0].data == account | {"name": "Ada", "roles": ["user"]}
    assert about[1].data == account | {"name": "Countess"}
    assert about[2].data == {"user_id": identity}


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("ada@example.com", True),
        ("ada+tag@mail.example.co.uk", True),
        ("łukasz@bücher.example", True),
        ("ada@localhost", False),
        ("ada@@example.com", False),
        ("ada@example..com", False),
        ("Ada <ada@example.com>", False),
        (f"{'a' * 65}@example.com", False),
        (f"a@{'b.' * 130}com", False),
    ],
)
def test_addresses(address: str, *, good: bool) -> None:
    if good:
        assert checked_address(f" {address} ") == address
    else:
        with pytest.raises(ValueError, match="not an e-mail address"):
            checked_address(address)


def test_addresses_that_look_the_same_are_the_same() -> None:
    assert address_key("\uff21\uff24\uff21@Example.COM") == address_key("ada@example.com")
    assert address_key("straße@example.com") == address_key("STRASSE@example.com")


def test_names_and_passwords() -> None:
    assert checked_name("  Ada \n King ") == "Ada King"
    with pytest.raises(ValueError, match="visible characters"):
        checked_name("a\x00b")
    assert checked_password("correct horse") == "correct horse"
