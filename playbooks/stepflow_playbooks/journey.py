"""What checks do as people who use the platform: register, sign in and order, through the gateway.

They use test accounts, which only an administrator opens: the services mark what these do, leave it out of all figures,
and delete it with the account. What does not answer yet raises `TemporaryError`, so that the check is repeated until
its timeout.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from stepflow.errors import PermanentError, StepflowError, TemporaryError
from stepflow.handoff import Credential
from stepflow.workload import CheckContext, Live
from stepflow_playbooks.handoffs.order_service import ORDERS, SOLD_OUT
from stepflow_playbooks.handoffs.service_discovery import GATEWAY
from stepflow_playbooks.handoffs.user_service import USERS, UserServiceHandoff

if TYPE_CHECKING:
    import httpx2

SIGN_IN = (GATEWAY.workload, USERS.workload)
"""The workloads that a check needs to sign in: its `needs`."""
ORDER = (*SIGN_IN, ORDERS.workload)
"""The workloads that a check needs to place an order: its `needs`."""
TIMEOUT = 15.0  # seconds for one request
OK, CREATED, ACCEPTED, GONE, UNAUTHORIZED, NOT_FOUND = 200, 201, 202, 204, 401, 404
DOMAIN = "checks.invalid"  # no mail ever leads there (RFC 6761)
OURS = f"check-{secrets.token_hex(4)}-"
"""Begins the addresses of this process: other test accounts were left by a verification that did not end."""
CHECK, AGENT = "stepflow-check/", f"stepflow-check/{OURS}"
"""How the `User-Agent` of any check begins, and that of this process; a session has it, too."""


def gateway_client(live: Live, token: str = "") -> httpx2.AsyncClient:
    """Return a client of the gateway that sends the access token, if one is given. Use it in `async with`."""
    return http_client(live.url(GATEWAY), token=token, timeout=TIMEOUT)


def http_client(url: str, *, token: str = "", timeout: float = 5.0) -> httpx2.AsyncClient:
    """Return a client of a base URL; `timeout` is in seconds and applies to each request. Use it in `async with`."""
    import httpx2  # noqa: PLC0415 - loaded when a check runs, not when a document is read

    headers = {"User-Agent": AGENT} | ({"Authorization": f"Bearer {token}"} if token else {})
    # Reading the machine's certificates takes longer than most checks do, and plain HTTP needs none.
    certificates = not url.startswith("http:")
    return httpx2.AsyncClient(base_url=url, headers=headers, timeout=timeout, trust_env=False, verify=certificates)


@asynccontextmanager
async def sign_in_admin(context: CheckContext) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client that is signed in as the platform's administrator, and sign it out afterwards."""
    admin = administrator(context)
    async with gateway_client(context) as http:
        tokens = await _sign_in(http, admin.identity, context.secret(admin.secret).strip())
    async with gateway_client(context, tokens["access_token"]) as http:
        try:
            yield http
        finally:
            with suppress(StepflowError):  # its session ends by itself
                await _send(http, "POST", "/api/auth/logout", GONE, body={"refresh_token": tokens["refresh_token"]})


@asynccontextmanager
async def register_and_sign_in(
    context: CheckContext, admin: httpx2.AsyncClient, *, name: str = "A Customer"
) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client that is signed in with a test account that the administrator opens, and delete it afterwards.

    What an earlier verification left, since it was killed, is deleted first.
    """
    await _delete_left(admin)
    email, password = f"{OURS}{secrets.token_hex(6)}@{DOMAIN}", secrets.token_urlsafe(18)
    account = {"email": email, "password": password, "name": name, "test": True}
    place = f"/api/users/{(await _post(admin, '/api/users', account, CREATED))['id']}"
    try:
        async with gateway_client(context) as http:
            tokens = await _sign_in(http, email, password)
        async with gateway_client(context, tokens["access_token"]) as http:
            yield http
    except BaseException:
        with suppress(StepflowError):  # what went wrong says more
            await _delete(admin, place)
        raise
    await _delete(admin, place)


def administrator(context: CheckContext) -> Credential:
    """Return the administrator's credential, as the user service hands it off. Raises `PermanentError` without one."""
    for handoff in context.handoffs:
        if isinstance(handoff, UserServiceHandoff):
            for credential in handoff.credentials:
                if credential.kind == "admin":
                    return credential
    raise PermanentError("no step hands off an administrator", hint="add a step with `Playbook: user-service`")


async def best_stocked(http: httpx2.AsyncClient) -> str:
    """Return the SKU of the product with the most stock."""
    answer = await http.get("/api/products")
    if answer.status_code != OK:
        raise TemporaryError(f"GET /api/products answers {answer.status_code}: {answer.text[:160]}")
    stock = {product["sku"]: int(product["stock"]) for product in answer.json()["items"] if product["stock"] > 0}
    if not stock.keys() - {SOLD_OUT}:
        raise PermanentError("no product is in stock", hint="restock, then `stepflow verify`")
    return str(max(stock.keys() - {SOLD_OUT}, key=lambda sku: stock[sku]))


async def place_order(http: httpx2.AsyncClient, sku: str, card: str = "tok_ok", trace: str = "") -> str:
    """Order one item and return the order's id; `trace` is a `traceparent` header (W3C Trace Context)."""
    body = {"items": [{"sku": sku, "quantity": 1}], "payment": {"token": card}}
    headers = {"Idempotency-Key": secrets.token_hex(16)} | ({"traceparent": trace} if trace else {})
    answer = await http.post("/api/orders", json=body, headers=headers)
    if answer.status_code != ACCEPTED:
        raise TemporaryError(f"POST /api/orders answers {answer.status_code}: {answer.text[:160]}")
    return str(answer.json()["id"])


async def _sign_in(http: httpx2.AsyncClient, email: str, password: str) -> dict[str, Any]:
    """Sign in at the gateway and return the tokens."""
    return await _post(http, "/api/auth/login", {"email": email, "password": password}, OK)


async def _delete_left(admin: httpx2.AsyncClient) -> None:
    """Delete the test accounts that another process left, and end the sessions of the administrator."""
    listed = await _send(admin, "GET", "/api/users?test=true&limit=100", OK)
    for user in listed.json()["items"]:
        if not user["email"].startswith(OURS):
            await _delete(admin, f"/api/users/{user['id']}")
    sessions = await _send(admin, "GET", "/api/users/me/sessions", OK)
    for session in sessions.json()["items"]:
        if session["user_agent"].startswith(CHECK) and session["user_agent"] != AGENT:
            await _delete(admin, f"/api/users/me/sessions/{session['id']}")


async def _delete(http: httpx2.AsyncClient, path: str) -> None:
    """Delete something, unless it is gone."""
    await _send(http, "DELETE", path, GONE, NOT_FOUND)


async def _post(http: httpx2.AsyncClient, path: str, body: Mapping[str, object], expected: int) -> dict[str, Any]:
    """Post and return the JSON of the answer."""
    given: dict[str, Any] = (await _send(http, "POST", path, expected, body=body)).json()
    return given


async def _send(
    http: httpx2.AsyncClient, method: str, path: str, *expected: int, body: Mapping[str, object] | None = None
) -> httpx2.Response:
    """Send a request and return an expected answer; waiting does not correct wrong credentials."""
    import httpx2  # noqa: PLC0415 - likewise

    try:
        answer = await http.request(method, path, json=body)
    except httpx2.TransportError as error:
        raise TemporaryError(f"{method} {path}: {error or type(error).__name__}") from error
    said = f"{method} {path} answers {answer.status_code}: {answer.text[:160]}"
    if answer.status_code == UNAUTHORIZED:
        raise PermanentError(said)
    if answer.status_code not in expected:
        raise TemporaryError(said)
    return answer
