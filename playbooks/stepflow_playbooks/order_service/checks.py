"""How orders are verified: a test account buys something through the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from stepflow.errors import PermanentError, TemporaryError
from stepflow.playbook import Check
from stepflow.workload import CheckContext, Live
from stepflow_playbooks.handoffs.order_service import ORDERS, SOLD_OUT
from stepflow_playbooks.journey import (
    ORDER,
    best_stocked,
    http_client,
    place_order,
    register_and_sign_in,
    sign_in_admin,
)

if TYPE_CHECKING:
    import httpx2

JsonObject = dict[str, Any]
OrderStory = Callable[["httpx2.AsyncClient", float], Awaitable[str]]
EVENT_DRIVEN = ("Event-driven communication",)
OK, POLL = 200, 0.1  # seconds


def checks(patience: float) -> tuple[Check, ...]:
    """Return the checks; `patience` is how many seconds a payment may take."""

    def bought(name: str, story: OrderStory, proves: tuple[str, ...] = ()) -> Check:
        run = partial(_as_new_customer, story, patience)
        return Check(name, run, proves=proves, when="run", timeout=20 + patience, needs=ORDER)

    return (
        Check("the catalogue answers", catalogue_answers),
        bought("an order is confirmed", order_is_confirmed, EVENT_DRIVEN),
        bought("a declined order is compensated", declined_order_is_compensated, EVENT_DRIVEN),
        bought("an order of what is out of stock is rejected", out_of_stock_is_rejected),
    )


async def catalogue_answers(live: Live) -> str:
    """The order service lists its products, which it projects from events."""
    async with http_client(live.url(ORDERS)) as http:
        products = await _products(http)
    in_stock = sum(product["stock"] > 0 for product in products)
    return f"{live.url(ORDERS)}/api/products lists {len(products)} products, {in_stock} in stock"


async def order_is_confirmed(http: httpx2.AsyncClient, patience: float) -> str:
    """An order that is paid for is confirmed."""
    order = await _settled(http, await place_order(http, await best_stocked(http)), patience)
    _expect(order, "confirmed")
    total = f"{order['total']} {order['currency']} minor units"
    return f"order {order['id']} confirmed at version {order['version']}, total {total}"


async def declined_order_is_compensated(http: httpx2.AsyncClient, patience: float) -> str:
    """An order whose card is declined is cancelled, and its stock is released."""
    placed = await place_order(http, await best_stocked(http), card="tok_declined")
    order = await _settled(http, placed, patience)
    _expect(order, "cancelled")
    happened = await _happened(http, order)
    if "stock-reserved" not in happened or "stock-released" not in happened:
        raise PermanentError(f"order {order['id']} was declined, but its stock was not released: {happened}")
    return f"{_cancelled(order)}; its stock was reserved and released"


async def out_of_stock_is_rejected(http: httpx2.AsyncClient, patience: float) -> str:
    """An order of a product without stock is cancelled, and nothing is paid."""
    order = await _settled(http, await place_order(http, SOLD_OUT), patience)
    _expect(order, "cancelled")
    happened = await _happened(http, order)
    if "payment" in happened:
        raise PermanentError(f"order {order['id']} of a product without stock went on to the payment: {happened}")
    return f"{_cancelled(order)}; nothing was paid"


async def _as_new_customer(story: OrderStory, patience: float, context: CheckContext) -> str:
    """Run the story as a customer who has just registered."""
    async with sign_in_admin(context) as admin, register_and_sign_in(context, admin) as http:
        return await story(http, patience)


async def _settled(http: httpx2.AsyncClient, order_id: str, patience: float) -> JsonObject:
    """Return the order once it is no longer pending; wait as long as its payment may take, and 5 s more."""
    order: JsonObject = {"status": "unknown"}
    try:
        async with asyncio.timeout(patience + 5):
            while True:
                answer = await http.get(f"/api/orders/{order_id}")
                if answer.status_code == OK and (order := answer.json())["status"] != "pending":
                    return order
                await asyncio.sleep(POLL)
    except TimeoutError:
        waited = f"{patience + 5:g} s"
        raise TemporaryError(f"order {order_id} is still {order['status']} after {waited}") from None


async def _happened(http: httpx2.AsyncClient, order: JsonObject) -> str:
    answer = await http.get(f"/api/orders/{order['id']}/events")
    if answer.status_code != OK:
        raise TemporaryError(f"GET /api/orders/{order['id']}/events answers {answer.status_code}")
    return ", ".join(event["type"] for event in answer.json()["items"])


async def _products(http: httpx2.AsyncClient) -> list[JsonObject]:
    answer = await http.get("/api/products")
    if answer.status_code != OK or not answer.json()["items"]:
        raise TemporaryError(f"GET /api/products answers {answer.status_code}: {answer.text[:120]}")
    products: list[JsonObject] = answer.json()["items"]
    return products


def _expect(order: JsonObject, status: str) -> None:
    if order["status"] != status:
        reason = f": {order['reason']}" if order["reason"] else ""
        raise PermanentError(f"order {order['id']} is {order['status']}, not {status}{reason}")


def _cancelled(order: JsonObject) -> str:
    return f"order {order['id'][:8]} cancelled at version {order['version']}: {order['reason']}"
