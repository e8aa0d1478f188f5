"""How running orders are verified: by a customer who buys something, through the gateway."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from stepflow.errors import PermanentError, TemporaryError
from stepflow.playbook import Check
from stepflow.workload import Live
from stepflow_playbooks.order_service.handoff import ORDERS

if TYPE_CHECKING:
    import httpx2

Json = dict[str, Any]
EVENT_DRIVEN = ("Event-driven communication",)
GOODS, UNDISTURBED = "EVENT-LANTERN", "SAGA-HARDBACK"  # the second is bought by no other check
OK, ACCEPTED, LOOK_EVERY = 200, 202, 0.1


def checks(patience: float) -> tuple[Check, ...]:
    """All of them; `patience` is how many seconds a payment may take."""
    timeout = 20 + patience
    return (
        Check("the catalogue answers", catalogue_answers),
        Check(
            "an order is confirmed",
            partial(order_is_confirmed, patience=patience),
            proves=EVENT_DRIVEN,
            when="run",
            timeout=timeout,
        ),
        Check(
            "a declined order is compensated",
            partial(declined_order_is_compensated, patience=patience),
            proves=EVENT_DRIVEN,
            when="run",
            timeout=timeout,
        ),
        Check(
            "an order of what is out of stock is rejected",
            partial(out_of_stock_is_rejected, patience=patience),
            when="run",
            timeout=timeout,
        ),
    )


async def catalogue_answers(live: Live) -> str:
    """The order service itself shows its products, which are made of events."""
    import httpx2  # noqa: PLC0415 - loaded when a check runs, not when a document is read

    async with httpx2.AsyncClient(base_url=live.url(ORDERS), timeout=5) as http:
        products = await _products(http)
    in_stock = sum(product["stock"] > 0 for product in products)
    return f"{live.url(ORDERS)}/api/products lists {len(products)} products, {in_stock} in stock"


async def order_is_confirmed(live: Live, *, patience: float) -> str:
    """Somebody new buys something; the order is confirmed, and its stream tells how."""
    async with _new_customer(live) as http:
        order = await _settled(http, await _place(http, GOODS, "tok_ok"), patience)
        _expect(order, "confirmed")
        happened = await _happened(http, order)
    return f"order {order['id']} confirmed at version {order['version']}, total {_money(order)}: {happened}"


async def declined_order_is_compensated(live: Live, *, patience: float) -> str:
    """Somebody new buys something with a card that is declined; the order is cancelled, the stock is as before."""
    async with _new_customer(live) as http:
        before = await _stock(http, UNDISTURBED)
        order = await _settled(http, await _place(http, UNDISTURBED, "tok_declined"), patience)
        _expect(order, "cancelled")
        happened = await _happened(http, order)
        after = await _stock(http, UNDISTURBED)
    if "stock-reserved" not in happened or "stock-released" not in happened:
        raise PermanentError(f"order {order['id']} was declined, but its stock did not come back: {happened}")
    if after != before:
        raise TemporaryError(f"{UNDISTURBED} had {before} in stock before the declined order, {after} after it")
    stock = f"stock of {UNDISTURBED} {before} as before"
    return f"order {order['id']} cancelled at version {order['version']} ({order['reason']}), {stock}: {happened}"


async def out_of_stock_is_rejected(live: Live, *, patience: float) -> str:
    """Somebody new orders what is not there; the order is cancelled and nothing is paid."""
    async with _new_customer(live) as http:
        order = await _settled(http, await _place(http, "OUT-OF-STOCK", "tok_ok"), patience)
        _expect(order, "cancelled")
        happened = await _happened(http, order)
    if "payment" in happened:
        raise PermanentError(f"order {order['id']} of what is out of stock went on to the payment: {happened}")
    return f"order {order['id']} cancelled at version {order['version']} ({order['reason']}): {happened}"


@asynccontextmanager
async def _new_customer(live: Live) -> AsyncIterator[httpx2.AsyncClient]:
    from stepflow_playbooks.journey import register_and_sign_in  # noqa: PLC0415 - likewise

    async with register_and_sign_in(live) as http:
        yield http


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


def _money(order: Json) -> str:
    """Say the total in minor units: how many of them make a whole one depends on the currency."""
    return f"{order['total']} {order['currency']} (minor units)"
