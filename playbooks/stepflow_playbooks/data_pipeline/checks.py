"""How the running pipeline is verified: an order is placed, and the report counts it."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from stepflow.errors import PermanentError, TemporaryError
from stepflow.playbook import Check
from stepflow.workload import Live
from stepflow_playbooks.data_pipeline.handoff import REPORTS
from stepflow_playbooks.journey import ACCOUNTS, http_client, register_and_sign_in, sign_in_admin

REAL_TIME = ("Real-time data processing",)
OK, ACCEPTED, UNAUTHORIZED = 200, 202, 401
LOOK_EVERY, CONFIRMED_WITHIN, COUNTED_WITHIN = 0.1, 20.0, 5.0  # seconds
NOT_TO_BUY = {"OUT-OF-STOCK", "SAGA-HARDBACK"}  # another check compares the stock of the second


def checks() -> tuple[Check, ...]:
    """All of them."""
    return (
        Check("reports answer to those who may ask", reports_answer),
        Check(
            "the report counts a confirmed order",
            report_counts_an_order,
            proves=REAL_TIME,
            when="run",
            timeout=60,
            needs=(*ACCOUNTS, "order-service"),
        ),
    )


async def reports_answer(live: Live) -> str:
    """The pipeline is there and asks for a token."""
    url = live.url(REPORTS)
    async with http_client(url) as http:
        guarded = (await http.get(url)).status_code
    if guarded != UNAUTHORIZED:
        raise TemporaryError(f"{url} answers {guarded} without a token")
    return f"{url} asks for a token"


async def report_counts_an_order(live: Live) -> str:
    """A customer's order is confirmed; the day's revenue has grown by its total soon after."""
    async with sign_in_admin(live) as admin, register_and_sign_in(live) as customer:
        before = await _revenue(admin)
        order = await _confirmed(customer)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while (now := await _revenue(admin)) < before + order["total"]:
            if loop.time() - begun > COUNTED_WITHIN:
                said = f"the revenue went from {before} to {now}, not by {order['total']} after {COUNTED_WITHIN:g} s"
                raise PermanentError(f"order {order['id']} does not count: {said}")
            await asyncio.sleep(LOOK_EVERY)
    counted = f"an order over {order['total']} counts after {loop.time() - begun:.1f} s"
    return f"{counted}: daily-revenue {before} is now {now} ({order['currency']}, minor units)"


async def _confirmed(http: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx2 is loaded when a check runs
    products = (await _json(http, "/api/products"))["items"]
    wanted = [product for product in products if product["sku"] not in NOT_TO_BUY and product["stock"] > 0]
    if not wanted:
        raise PermanentError("nothing is in stock that could be ordered")
    sku = max(wanted, key=lambda product: int(product["stock"]))["sku"]
    body = {"items": [{"sku": sku, "quantity": 1}], "payment": {"token": "tok_ok"}}
    placed = await http.post("/api/orders", json=body, headers={"Idempotency-Key": secrets.token_hex(16)})
    if placed.status_code != ACCEPTED:
        raise TemporaryError(f"POST /api/orders answers {placed.status_code}: {placed.text[:160]}")
    path = f"/api/orders/{placed.json()['id']}"
    loop = asyncio.get_running_loop()
    deadline = loop.time() + CONFIRMED_WITHIN
    while (order := await _json(http, path))["status"] == "pending":
        if loop.time() > deadline:
            raise TemporaryError(f"{path} is still pending after {CONFIRMED_WITHIN:g} s")
        await asyncio.sleep(LOOK_EVERY)
    if order["status"] != "confirmed":
        raise TemporaryError(f"{path} is {order['status']}: {order.get('reason')}")
    return order


async def _revenue(http: Any) -> int:  # noqa: ANN401 - likewise
    return sum(int(row["revenue"]) for row in (await _json(http, f"{REPORTS.path}/daily-revenue"))["rows"])


async def _json(http: Any, path: str) -> dict[str, Any]:  # noqa: ANN401 - likewise
    answer = await http.get(path)
    if answer.status_code != OK:
        raise TemporaryError(f"GET {path} answers {answer.status_code}: {answer.text[:160]}")
    body: dict[str, Any] = answer.json()
    return body
