"""People who use the service under test."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2

ADMIN = ("root@example.com", "an admin's password")


@dataclass(frozen=True)
class Person:
    """A user who is signed in."""

    id: str
    email: str
    password: str
    refresh_token: str
    headers: dict[str, str]


async def sign_in(http: httpx2.AsyncClient, email: str, password: str) -> Person:
    answer = await http.post("/api/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    me = (await http.get("/api/users/me", headers=headers)).json()
    return Person(me["id"], email, password, tokens["refresh_token"], headers)
