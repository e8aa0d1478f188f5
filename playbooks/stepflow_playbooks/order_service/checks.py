"""How running orders are verified: by a customer who buys something, through the gateway."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from stepflow.errors import PermanentError, TemporaryError
from stepflow.playbook import Check
from stepflow.workload import Live
from stepflow_playbooks.journey import ACCOUNTS, http_client, register_and_sign_in
from stepflow_playbooks.order_service.handoff import ORDERS

if TYPE_CHECKING:
    import httpx2

Json = dict[str, Any]
Story = Callable[["httpx2.AsyncClient", float], Awaitable[str]]
EVENT_DRIVEN = ("Event-driven communication",)
GOODS, UNDISTURBED = "EVENT-LANTERN", "SAGA-HARDBACK"  # the second is bought by no other check
OK, ACCEPTED, LOOK_EVERY = 200, 202, 0.1


def checks(patience: float) -> tuple[Check, ...]:
    """All of them; `patience` is how many seconds a payment may take."""

    def bought(name: str, story: Story, proves: tuple[str, ...] = ()) -> Check:
        run = partial(_as_new_customer, story, patience)
        return Check(name, run, proves=proves, when="run", timeout=20 + patience, needs=ACCOUNTS)

    return (
        Check("the catalogue answers", catalogue_answers),
        bought("an order is confirmed", order_is_confirmed, EVENT_DRIVEN),
        bought("a declined order is compensated", declined_order_is_compensated, EVENT_DRIVEN),
        bought("an order of what is out of stock is rejected", out_of_stock_is_rejected),
    )


async def catalogue_answers(live: Live) -> str:
    """The order service itself shows its products, which are made of events."""
    async with http_client(live.url(ORDERS)) as http:
        products = await _products(http)
    in_stock = sum(product["stock"] > 0 for product in products)
    return f"{live.url(ORDERS)}/api/products lists {len(products)} products, {in_stock} in stock"


async def order_is_confirmed(http: httpx2.AsyncClient, patience: float) -> str:
    """Buy something; the order is confirmed."""
    order = await _settled(http, await _place(http, GOODS, "tok_ok"), patience)
    _expect(order, "confirmed")
    total = f"{order['total']} {order['currency']} minor units"
    return f"order {order['id']} confirmed at version {order['version']}, total {total}"


async def declined_order_is_compensated(http: httpx2.AsyncClient, patience: float) -> str:
    """Buy something with a card that is declined; the order is cancelled, the stock is as before."""
    before = await _stock(http, UNDISTURBED)
    order = await _settled(http, await _place(http, UNDISTURBED, "tok_declined"), patience)
    _expect(order, "cancelled")
    happened = await _happened(http, order)
    after = await _stock(http, UNDISTURBED)
    if "stock-reserved" not in happened or "stock-released" not in happened:
        raise PermanentError(f"order {order['id']} was declined, but its stock did not come back: {happened}")
    if after != before:
        raise TemporaryError(f"{UNDISTURBED} had {before} in stock before the declined order, {after} after it")
    return f"{_cancelled(order)}; stock of {UNDISTURBED} {before} as before"


async def out_of_stock_is_rejected(http: httpx2.AsyncClient, patience: float) -> str:
    """Order what is not there; the order is cancelled and nothing is paid."""
    order = await _settled(http, await _place(http, "OUT-OF-STOCK", "tok_ok"), patience)
    _expect(order, "cancelled")
    happened = await _happened(http, order)
    if "payment" in happened:
        raise PermanentError(f"order {order['id']} of what is out of stock went on to the payment: {happened}")
    return f"{_cancelled(order)}; nothing was paid"


async def _as_new_customer(story: Story, patience: float, live: Live) -> str:
    """Register somebody and let them buy."""
    async with register_and_sign_in(live) as http:
        return await story(http, patience)


async def _place(http: httpx2.AsyncClient, sku: str, token: str) -> str:
    body = {"items": [{"sku": sku, "quantity": 1}], "payment": {"token": token}}
    answer = await http.post("/api/orders", json=body, headers={"Idempotency-Key": secrets.token_hex(16)})
    if answer.status_code != ACCEPTED:
        raise TemporaryError(f"POST /api/orders answers {answer.status_code}: {answer.text[:120]}")
    return str(answer.json()["id"])


async def _settled(http: httpx2.AsyncClient, order_id: str, patience: float) -> Json:
    """Wait until the order is no longer pending, as long as its payment may take and a little longer."""
    order: Json = {"status": "unknown"}
    try:
        async with asyncio.timeout(patience + 5):
            while True:
                answer = await http.get(f"/api/orders/{order_id}")
                if answer.status_code == OK and (order := answer.json())["status"] != "pending":
                    return order
                await asyncio.sleep(LOOK_EVERY)
    except TimeoutError:
        waited = f"{patience + 5:g} s"
        raise TemporaryError(f"order {order_id} is still {order['status']} after {waited}") from None


async def _happened(http: httpx2.AsyncClient, order: Json) -> str:
    answer = await http.get(f"/api/orders/{order['id']}/events")
    if answer.status_code != OK:
        raise TemporaryError(f"GET /api/orders/{order['id']}/events answers {answer.status_code}")
    return ", ".join(event["type"] for event in answer.json()["items"])


async def _products(http: httpx2.AsyncClient) -> list[Json]:
    answer = await http.get("/api/products")
    if answer.status_code != OK or not answer.json()["items"]:
        raise TemporaryError(f"GET /api/products answers {answer.status_code}: {answer.text[:120]}")
    products: list[Json] = answer.json()["items"]
    return products


async def _stock(http: httpx2.AsyncClient, sku: str) -> int:
    return next(int(product["stock"]) for product in await _products(http) if product["sku"] == sku)


def _expect(order: Json, status: str) -> None:
    if order["status"] != status:
        reason = f": {order['reason']}" if order["reason"] else ""
        raise PermanentError(f"order {order['id']} is {order['status']}, not {status}{reason}")


def _cancelled(order: Json) -> str:
    return f"order {order['id'][:8]} cancelled at version {order['version']}: {order['reason']}"
