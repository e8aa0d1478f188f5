"""Customers of a running platform: they register, sign in, order and read through the gateway, at a given rate."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx2

GOODS = ("CACTUS-404", "CHAOS-MONKEY", "IDEMPOTENT-MUG", "RUBBER-DUCK", "TEAPOT-418")
CUSTOMERS = 8  # each has a quota of 600 requests a minute
SETTLED = 20.0  # seconds within which an order has to be confirmed
Work = Callable[[int], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Customer:
    """A user who is signed in."""

    email: str
    password: str
    http: httpx2.AsyncClient


async def sign_in(http: httpx2.AsyncClient, email: str, password: str) -> str:
    """Sign in; give the access token."""
    answer = await http.post("/api/auth/login", json={"email": email, "password": password})
    answer.raise_for_status()
    return str(answer.json()["access_token"])


async def customers(gateway: str, stack: AsyncExitStack) -> list[Customer]:
    """Register some and sign them in; their connections close with the stack."""
    everybody = []
    for _ in range(CUSTOMERS):
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=gateway, timeout=30, trust_env=False))
        email, password = f"load-{secrets.token_hex(6)}@example.com", secrets.token_urlsafe(16)
        made = await http.post("/api/users", json={"email": email, "password": password, "name": "Load"})
        made.raise_for_status()
        http.headers["Authorization"] = f"Bearer {await sign_in(http, email, password)}"
        everybody.append(Customer(email, password, http))
    return everybody


async def place(customer: Customer, trace: str = "") -> str:
    """Place an order of one thing, with a key and, where a trace's id is given, as a part of it; give its id."""
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    if trace:
        headers["traceparent"] = f"00-{trace}-{secrets.token_hex(8)}-01"
    body = {"items": [{"sku": secrets.choice(GOODS), "quantity": 1}], "payment": {"token": "tok_ok"}}
    answer = await customer.http.post("/api/orders", json=body, headers=headers)
    answer.raise_for_status()
    return str(answer.json()["id"])


async def confirmed(customer: Customer, order: str) -> None:
    """Ask until an order is confirmed. Raises `TimeoutError`."""
    async with asyncio.timeout(SETTLED):
        while (await customer.http.get(f"/api/orders/{order}")).json()["status"] != "confirmed":  # noqa: ASYNC110 - what is waited for is seen from outside only
            await asyncio.sleep(0.2)


async def one_each(everybody: Sequence[Customer]) -> list[str]:
    """Let everybody order once, one after the other, and wait until all is confirmed; give the orders' ids."""
    orders = [await place(customer) for customer in everybody]
    for customer, order in zip(everybody, orders, strict=True):
        await confirmed(customer, order)
    return orders


async def at_rate(work: Work, rate: float, seconds: float) -> int:
    """Start `work` so often a second, at random moments (Poisson), whatever became of those before; give the number."""
    chance, started = random.Random(1), time.perf_counter()  # noqa: S311 - the same load each time
    due, tasks = chance.expovariate(rate), list[asyncio.Task[None]]()
    while due < seconds:
        await asyncio.sleep(max(0.0, started + due - time.perf_counter()))
        tasks.append(asyncio.create_task(work(len(tasks))))
        due += chance.expovariate(rate)
    await asyncio.gather(*tasks)
    return len(tasks)


async def saturated(everybody: Sequence[Customer], at_once: int, seconds: float) -> float:
    """Keep so many orders under way; give how many a second were confirmed, the slow end included."""
    started, orders = time.perf_counter(), []

    async def one(number: int) -> None:
        customer = everybody[number % len(everybody)]
        while time.perf_counter() - started < seconds:
            orders.append((customer, await place(customer)))

    await asyncio.gather(*(one(number) for number in range(at_once)))
    for customer, order in orders:
        await confirmed(customer, order)
    return len(orders) / (time.perf_counter() - started)
