"""What checks do as people who use the platform: register, sign in and order, through the gateway.

What does not answer yet raises `TemporaryError`, so that the check is repeated until its timeout.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from stepflow.errors import PermanentError, TemporaryError
from stepflow.handoff import Credential
from stepflow.workload import CheckContext, Live
from stepflow_playbooks.handoffs.order_service import ORDERS, RESERVED
from stepflow_playbooks.handoffs.service_discovery import GATEWAY
from stepflow_playbooks.handoffs.user_service import USERS, UserServiceHandoff

if TYPE_CHECKING:
    import httpx2

SIGN_IN = (GATEWAY.workload, USERS.workload)
"""The workloads that a check needs to sign in: its `needs`."""
ORDER = (*SIGN_IN, ORDERS.workload)
"""The workloads that a check needs to place an order: its `needs`."""
TIMEOUT = 15.0  # seconds for one request
OK, CREATED, ACCEPTED, UNAUTHORIZED = 200, 201, 202, 401


def gateway_client(live: Live, token: str = "") -> httpx2.AsyncClient:
    """Return a client of the gateway that sends the access token, if one is given. Use it in `async with`."""
    return http_client(live.url(GATEWAY), token=token, timeout=TIMEOUT)


def http_client(url: str, *, token: str = "", timeout: float = 5.0) -> httpx2.AsyncClient:
    """Return a client of a base URL; `timeout` is in seconds and applies to each request. Use it in `async with`."""
    import httpx2  # noqa: PLC0415 - loaded when a check runs, not when a document is read

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # Reading the machine's certificates takes longer than most checks do, and plain HTTP needs none.
    certificates = not url.startswith("http:")
    return httpx2.AsyncClient(base_url=url, headers=headers, timeout=timeout, trust_env=False, verify=certificates)


@asynccontextmanager
async def register_and_sign_in(live: Live, *, name: str = "A Customer") -> AsyncIterator[httpx2.AsyncClient]:
    """Register a new user and yield a client that is signed in as that user."""
    email, password = f"journey-{secrets.token_hex(8)}@example.com", secrets.token_urlsafe(18)
    async with gateway_client(live) as http:
        await _post(http, "/api/users", {"email": email, "password": password, "name": name}, CREATED)
        token = await sign_in(http, email, password)
    async with gateway_client(live, token) as http:
        yield http


@asynccontextmanager
async def sign_in_admin(context: CheckContext) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client that is signed in as the platform's administrator."""
    admin = administrator(context)
    async with gateway_client(context) as http:
        token = await sign_in(http, admin.identity, context.secret(admin.secret).strip())
    async with gateway_client(context, token) as http:
        yield http


def administrator(context: CheckContext) -> Credential:
    """Return the administrator's credential, as the user service hands it off. Raises `PermanentError` without one."""
    for handoff in context.handoffs:
        if isinstance(handoff, UserServiceHandoff):
            for credential in handoff.credentials:
                if credential.kind == "admin":
                    return credential
    raise PermanentError("no step hands off an administrator", hint="add a step with `Playbook: user-service`")


async def sign_in(http: httpx2.AsyncClient, email: str, password: str) -> str:
    """Sign in at the gateway and return the access token."""
    answer = await _post(http, "/api/auth/login", {"email": email, "password": password}, OK)
    return str(answer["access_token"])


async def best_stocked(http: httpx2.AsyncClient) -> str:
    """Return the SKU of the product with the most stock, except those that the order checks count themselves."""
    answer = await http.get("/api/products")
    if answer.status_code != OK:
        raise TemporaryError(f"GET /api/products answers {answer.status_code}: {answer.text[:160]}")
    stock = {product["sku"]: int(product["stock"]) for product in answer.json()["items"] if product["stock"] > 0}
    if not stock.keys() - RESERVED:
        raise PermanentError("no product is in stock", hint="restock, then `stepflow verify`")
    return str(max(stock.keys() - RESERVED, key=lambda sku: stock[sku]))


async def place_order(http: httpx2.AsyncClient, sku: str, card: str = "tok_ok", trace: str = "") -> str:
    """Order one item and return the order's id; `trace` is a `traceparent` header (W3C Trace Context)."""
    body = {"items": [{"sku": sku, "quantity": 1}], "payment": {"token": card}}
    headers = {"Idempotency-Key": secrets.token_hex(16)} | ({"traceparent": trace} if trace else {})
    answer = await http.post("/api/orders", json=body, headers=headers)
    if answer.status_code != ACCEPTED:
        raise TemporaryError(f"POST /api/orders answers {answer.status_code}: {answer.text[:160]}")
    return str(answer.json()["id"])


async def _post(http: httpx2.AsyncClient, path: str, body: Mapping[str, str], expected: int) -> dict[str, Any]:
    """Post and return the JSON of the answer; waiting does not correct wrong credentials."""
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
