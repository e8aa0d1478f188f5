"""Killed at any point, the saga is carried on: no order is lost, none is charged twice, all stock is accounted for.

Here the worker is cut off before and after every access to the database and to the provider, one point a run, in this
process. `test_kill.py` does it to real processes at random moments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI
from order_fixtures import OpenShop, Shop

from chassis.testing.waiting import eventually
from service.fulfilment import Fulfilment
from service.payments.domain import Fault
from service.payments.storage import switch_fault
from service.provider import HttpPaymentProvider
from service.storage import sagas

POINTS = ("claim", "hold", "begin_payment", "proceed", "postpone")
SKU = "RUBBER-DUCK"


class Killed(BaseException):
    """The process is gone: nothing after this point happens."""


class Assassin:
    """Counts the points that a worker passes, and cuts it off at one of them."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.passed = 0
        self.struck = False

    def pass_by(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            self.struck = True
            raise Killed

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any function
            self.pass_by()
            result = await function(*args, **kwargs)
            self.pass_by()
            return result

        return wrapped


async def work_until_done(shop: Shop, fulfilment: Fulfilment, order_id: str) -> None:
    """Let a fresh worker carry on until the saga is done."""

    async def done() -> bool:
        while await fulfilment.work():
            continue
        async with shop.database.acquire() as connection:
            step = await connection.fetchval("SELECT step FROM sagas WHERE order_id = $1", order_id)
        return bool(step == "done")

    await eventually(done)


def worker(shop: Shop, patience: float = 60) -> Fulfilment:
    """A worker on the shop's database and provider, with so many seconds of patience for a payment."""
    return Fulfilment(shop.database, shop.app.state.provider, timedelta(seconds=patience))


async def check(shop: Shop, order_id: str, stock: int, expected: set[str]) -> str:
    """The order ended, its stock adds up, and it was paid once if confirmed and not at all if not."""
    order = await shop.settled(order_id)
    assert order["status"] in expected
    confirmed = order["status"] == "confirmed"
    assert await shop.stock(SKU) == stock - confirmed
    assert (await shop.captured(order_id)).count("captured") == confirmed
    return str(order["status"])


@pytest.mark.parametrize(("pay", "expected"), [("tok_ok", "confirmed"), ("tok_declined", "cancelled")])
async def test_worker_cut_off_at_any_point_is_replaced(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch, pay: str, expected: str
) -> None:
    monkeypatch.setattr(sagas, "LEASE", timedelta(milliseconds=50))
    async with open_shop(saga_workers=0) as shop:
        struck = await _all_points(shop, monkeypatch, pay, {expected})
    assert struck > 15


async def test_worker_cut_off_at_any_point_of_a_cancellation_is_replaced(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The customer cancels while the worker is dead: wherever it was, everything goes back."""
    monkeypatch.setattr(sagas, "LEASE", timedelta(milliseconds=50))
    async with open_shop(saga_workers=0) as shop:

        async def cancel(order_id: str) -> None:
            answer = await shop.http.post(f"/api/orders/{order_id}/cancel")
            assert answer.status_code == 202, answer.text
            async with shop.database.acquire() as connection:  # the time for the payment passes
                await connection.execute("UPDATE sagas SET pay_until = now() WHERE pay_until > now()")

        struck = await _all_points(shop, monkeypatch, "tok_ok", {"cancelled"}, meanwhile=cancel)
    assert struck > 15


async def _all_points(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    pay: str,
    expected: set[str],
    *,
    meanwhile: Callable[[str], Any] | None = None,
) -> int:
    """Cut a worker off at its first point, its second, … until it gets through; return the number of points."""
    at = 0
    while True:
        at += 1
        stock = await shop.stock(SKU)
        order_id = (await shop.order((SKU, 1), pay=pay))["id"]
        assassin = Assassin(at)
        with monkeypatch.context() as patched:
            for point in POINTS:
                patched.setattr(sagas, point, assassin.around(getattr(sagas, point)))
            for call in ("authorise", "void"):
                patched.setattr(HttpPaymentProvider, call, assassin.around(getattr(HttpPaymentProvider, call)))
            try:
                await worker(shop).work()
            except Killed:
                if meanwhile is not None:
                    await meanwhile(order_id)
        if not assassin.struck:
            return at - 1
        await work_until_done(shop, worker(shop), order_id)
        await check(shop, order_id, stock, expected)


async def test_two_workers_on_one_saga_charge_once(open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose lease ran out while it was asking the provider comes back and is refused."""
    async with open_shop(saga_workers=0) as shop:
        stock = await shop.stock(SKU)
        order_id = (await shop.order((SKU, 1), pay="tok_slow"))["id"]
        with monkeypatch.context() as patched:
            patched.setattr(sagas, "LEASE", timedelta(milliseconds=1))
            first = asyncio.create_task(work_until_done(shop, worker(shop), order_id))
            await eventually(partial(_asked, shop, order_id))
        await asyncio.gather(first, *(work_until_done(shop, worker(shop), order_id) for _ in range(2)))
        await check(shop, order_id, stock, {"confirmed"})


async def test_saga_that_cannot_go_on_is_put_aside_and_the_others_pass(
    open_shop: OpenShop, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_shop(saga_workers=0) as shop:
        stuck, other = [(await shop.order((SKU, 1)))["id"] for _ in range(2)]
        async with shop.database.acquire() as connection:
            await connection.execute("UPDATE sagas SET step = 'confirm' WHERE order_id = $1", stuck)
        await work_until_done(shop, worker(shop), other)
        assert (await shop.settled(other))["status"] == "confirmed"
        assert (await shop.read(stuck))["status"] == "pending"
        async with shop.database.acquire() as connection:
            await connection.execute("UPDATE sagas SET step = 'reserve-stock' WHERE order_id = $1", stuck)
        await work_until_done(shop, worker(shop), stuck)
    assert f"the saga of order {stuck} failed and is retried later" in caplog.text
    assert f"order {stuck} cannot do this: its stock is not reserved" in caplog.text


async def test_provider_that_is_down_opens_the_circuit_and_the_order_is_cancelled(
    open_shop: OpenShop, faults: Callable[[Fault], Awaitable[None]]
) -> None:
    await faults("down")
    async with open_shop(payment_patience=3) as shop:
        stock = await shop.stock(SKU)
        order = await shop.settled((await shop.order((SKU, 1)))["id"])
        assert (order["status"], order["reason"]) == (
            "cancelled",
            "payment timed out: no answer from the payment provider",
        )
        assert await shop.captured(order["id"]) == []
        assert await shop.stock(SKU) == stock


async def test_provider_that_fails_after_taking_the_order_in_is_made_to_void(
    open_shop: OpenShop, faults: Callable[[Fault], Awaitable[None]]
) -> None:
    await faults("error")
    async with open_shop(payment_patience=2) as shop:  # not so long that the circuit opens
        order_id = (await shop.order((SKU, 1)))["id"]
        assert (await shop.settled(order_id))["status"] == "cancelled"
        assert await shop.captured(order_id) == ["voided"]


async def test_cancelling_during_a_slow_payment_voids_it(
    open_shop: OpenShop, faults: Callable[[Fault], Awaitable[None]]
) -> None:
    await faults("slow")
    async with open_shop(payment_timeout=0.4) as shop:
        stock = await shop.stock(SKU)
        order_id = (await shop.order((SKU, 1)))["id"]
        await eventually(partial(_asked, shop, order_id))
        assert (await shop.http.post(f"/api/orders/{order_id}/cancel")).status_code == 202
        await check(shop, order_id, stock, {"cancelled"})
        assert await shop.captured(order_id) == ["voided"]


async def _asked(shop: Shop, order_id: str) -> bool:
    return bool(await shop.captured(order_id))


@pytest.fixture
def faults(provider: FastAPI) -> Callable[[Fault], Awaitable[None]]:
    """Switch a fault of the provider on."""
    return partial(switch_fault, provider.state.service.main_database)
