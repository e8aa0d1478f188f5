"""How checks use a running platform: through the gateway, as a person would who registers and signs in.

What does not answer yet is a `TemporaryError`, so that the check is asked again until its time is over.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from stepflow.errors import PermanentError, TemporaryError
from stepflow.handoff import Endpoint, SecretFile
from stepflow.workload import Live

if TYPE_CHECKING:
    import httpx2

GATEWAY = Endpoint("gateway")
ACCOUNTS = ("gateway", "user-service")
"""The workloads without which nobody can sign in: what a check that does so needs."""
ADMIN_PASSWORD = SecretFile("admin-password")
ADMIN_EMAIL = "admin@example.com"
ADMIN_FILE = "user-service/.env.example"
"""The rendered file that says which e-mail the platform's administrator has."""
TIMEOUT = 15.0  # seconds for one request
OK, CREATED, UNAUTHORIZED = 200, 201, 401


def gateway_client(live: Live, token: str = "") -> httpx2.AsyncClient:
    """Make a client on the gateway, with an access token where one is given. Close it, or use it in `async with`."""
    return http_client(live.url(GATEWAY), token=token, timeout=TIMEOUT)


def http_client(url: str, *, token: str = "", timeout: float = 5.0) -> httpx2.AsyncClient:
    """Make a client on a base URL, with an access token where one is given and `timeout` seconds for each request."""
    import httpx2  # noqa: PLC0415 - loaded when a check runs, not when a document is read

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # Reading the machine's certificates takes longer than most checks do, and plain HTTP needs none.
    certificates = not url.startswith("http:")
    return httpx2.AsyncClient(base_url=url, headers=headers, timeout=timeout, trust_env=False, verify=certificates)


@asynccontextmanager
async def register_and_sign_in(live: Live, *, name: str = "A Customer") -> AsyncIterator[httpx2.AsyncClient]:
    """Register somebody new and give a client that is signed in as them."""
    email, password = f"journey-{secrets.token_hex(8)}@example.com", secrets.token_urlsafe(18)
    async with gateway_client(live) as http:
        await _post(http, "/api/users", {"email": email, "password": password, "name": name}, CREATED)
        token = await sign_in(http, email, password)
    async with gateway_client(live, token) as http:
        yield http


@asynccontextmanager
async def sign_in_admin(live: Live) -> AsyncIterator[httpx2.AsyncClient]:
    """Give a client that is signed in as the platform's administrator."""
    async with gateway_client(live) as http:
        token = await sign_in(http, admin_email(live), live.secret(ADMIN_PASSWORD).strip())
    async with gateway_client(live, token) as http:
        yield http


async def sign_in(http: httpx2.AsyncClient, email: str, password: str) -> str:
    """Sign in at the gateway and give the access token."""
    answer = await _post(http, "/api/auth/login", {"email": email, "password": password}, OK)
    return str(answer["access_token"])


def admin_email(live: Live) -> str:
    """Look up the administrator's e-mail: what was rendered says it, else it is the default."""
    path = live.out / ADMIN_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = (line.removeprefix("ADMIN_EMAIL=").strip() for line in lines if line.startswith("ADMIN_EMAIL="))
    return next(found, "") or ADMIN_EMAIL


async def _post(http: httpx2.AsyncClient, path: str, body: dict[str, str], expected: int) -> dict[str, Any]:
    """Post and give the answer's JSON; wrong credentials do not get better by waiting."""
    import httpx2  # noqa: PLC0415 - likewise

    try:
        answer = await http.post(path, json=body)
    except httpx2.TransportError as error:
        raise TemporaryError(f"POST {path}: {error or type(error).__name__}") from error
    said = f"POST {path} answers {answer.status_code}: {answer.text[:160]}"
    if answer.status_code == UNAUTHORIZED:
        raise PermanentError(said)
    if answer.status_code != expected:
        raise TemporaryError(said)
    given: dict[str, Any] = answer.json()
    return given
