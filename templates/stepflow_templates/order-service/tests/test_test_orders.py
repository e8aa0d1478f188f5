"""Orders of test accounts: they go through all steps, move nothing of the shop, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
import nats
import pytest
from order_fixtures import OpenShop, Shop

from chassis.app import Service
from chassis.events import Event
from chassis.testing.waiting import eventually
from service.storage import projections, views
from service.storage.erasure import erase_tests

SKU = "RUBBER-DUCK"
Token = Callable[..., str]


async def books(shop: Shop) -> tuple[int, ...]:
    """How many rows there are of what the shop remembers, and its stock."""
    await shop.stock(SKU)  # waits for the read model
    tables = ("events", "snapshots", "sagas", "order_view")
    return (*[await shop.count(table) for table in tables], await shop.stock(SKU))


async def test_test_order_is_confirmed_step_by_step_and_takes_nothing_from_stock(shop: Shop, token: Token) -> None:
    before = await shop.stock(SKU)
    shop.become(token(sub="a-check", test=True))
    order = await shop.settled((await shop.order((SKU, 2)))["id"])
    assert (order["status"], order["total"]) == ("confirmed", 2 * 1290)
    happened = (await shop.http.get(f"/api/orders/{order['id']}/events")).json()["items"]
    assert [each["type"] for each in happened] == [
        "order-placed",
        "stock-reserved",
        "payment-authorised",
        "order-confirmed",
    ]
    assert happened[0]["data"]["test"] is True
    assert await shop.stock(SKU) == before


@pytest.mark.parametrize(
    ("sku", "pay", "reason"),
    [
        (SKU, "tok_declined", "payment declined: the card was declined"),
        ("OUT-OF-STOCK", "tok_ok", "out of stock: OUT-OF-STOCK"),
    ],
)
async def test_test_order_is_refused_for_the_reasons_of_any_other(
    shop: Shop, token: Token, sku: str, pay: str, reason: str
) -> None:
    before = await shop.stock(SKU)
    shop.become(token(sub="a-check", test=True))
    order = await shop.settled((await shop.order((sku, 1), pay=pay))["id"])
    assert (order["status"], order["reason"]) == ("cancelled", reason)
    assert await shop.stock(SKU) == before


async def test_test_orders_compete_for_their_own_copy_of_the_stock(shop: Shop, token: Token) -> None:
    """They reserve for real, so the last piece is sold once; a customer can still buy all that the shop has."""
    stock = await shop.stock(SKU)
    shop.become(token(sub="a-check", test=True))
    lines = [(SKU, 1000)] * (stock // 1000)
    for line in lines:
        assert (await shop.settled((await shop.order(line))["id"]))["status"] == "confirmed"
    assert (await shop.settled((await shop.order((SKU, 1)))["id"]))["reason"] == f"out of stock: {SKU}"
    shop.become(token(sub="ada"))
    assert await shop.stock(SKU) == stock
    assert (await shop.settled((await shop.order((SKU, 1)))["id"]))["status"] == "confirmed"


async def test_only_the_token_makes_a_test_order(shop: Shop) -> None:
    body = {"items": [{"sku": SKU, "quantity": 1}], "payment": {"token": "tok_ok"}}
    assert (await shop.http.post("/api/orders", json=body | {"test": True})).status_code == 422
    placed = await shop.http.post("/api/orders?test=true", json=body, headers={"X-Test": "true", "Test": "true"})
    assert await shop.count("events", f"test AND data->>'order_id' = '{placed.json()['id']}'") == 0
    assert await shop.captured((await shop.settled(placed.json()["id"]))["id"]) == ["captured"]
    async with shop.payments.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM payments WHERE test") == 0


async def test_administrators_list_test_orders_apart_and_a_user_sees_all_of_their_own(shop: Shop, token: Token) -> None:
    real = await shop.settled((await shop.order((SKU, 1)))["id"])
    shop.become(token(sub="a-check", test=True))
    test = await shop.settled((await shop.order((SKU, 1)))["id"])

    async def listed(query: str) -> list[str]:
        return [each["id"] for each in (await shop.http.get(f"/api/orders{query}")).json()["items"]]

    assert await listed("") == [test["id"]]
    shop.become(token(sub="boss", roles=("user", "admin")))
    assert await listed("") == [real["id"]]
    assert await listed("?test=true") == [test["id"]]
    shop.become(token(sub="till", roles=(), scopes=("orders:read",)))
    assert await listed("") == [real["id"]]


async def test_events_of_test_orders_are_marked_and_those_of_others_are_not(
    shop: Shop, token: Token, nats_url: str
) -> None:
    await shop.settled((await shop.order((SKU, 1)))["id"])
    shop.become(token(sub="a-check", test=True))
    await shop.settled((await shop.order((SKU, 1), pay="tok_declined"))["id"])
    connection = await nats.connect(nats_url)
    try:
        subscription = await connection.jetstream().subscribe("orders.>", ordered_consumer=True)
        marked: dict[str, set[bool]] = {}
        while "orders.v1.cancelled" not in marked:
            event = Event.decode((await subscription.next_msg(timeout=60)).data)
            marked.setdefault(event.type, set()).add(event.test)
    finally:
        await connection.close()
    assert marked == {
        "orders.v1.placed": {False, True},
        "orders.v1.stock-reserved": {False, True},
        "orders.v1.payment-authorized": {False},
        "orders.v1.confirmed": {False},
        "orders.v1.payment-declined": {True},
        "orders.v1.cancelled": {True},
    }


async def test_test_payment_is_in_test_mode_uncounted_and_forgotten_after_a_day(shop: Shop, token: Token) -> None:
    counted = await charged(shop)
    shop.become(token(sub="a-check", test=True))
    old = await shop.settled((await shop.order((SKU, 1)))["id"])
    assert await shop.captured(old["id"]) == ["captured"]
    async with shop.payments.acquire() as connection:
        assert await connection.fetchval("SELECT bool_and(test) FROM payments") is True
        await connection.execute("UPDATE payments SET created_at = now() - interval '25 hours'")
    new = await shop.settled((await shop.order((SKU, 1)))["id"])
    assert (await shop.captured(old["id"]), await shop.captured(new["id"])) == ([], ["captured"])
    assert await charged(shop) == counted
    shop.become(token(sub="ada"))
    await shop.settled((await shop.order((SKU, 1)))["id"])
    assert await charged(shop) == counted + 1


async def charged(shop: Shop) -> float:
    """How many payments the metrics of this process count as captured."""
    lines = (await shop.http.get("/metrics")).text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith('payments_total{status="captured"}')), 0)


async def test_when_a_test_account_is_deleted_nothing_is_left_of_its_orders(shop: Shop, token: Token) -> None:
    customer = await shop.settled((await shop.order((SKU, 1)))["id"])
    before = await books(shop)
    shop.become(token(sub="a-check", test=True))
    for pay in ("tok_ok", "tok_declined"):
        await shop.settled((await shop.order((SKU, 1), pay=pay))["id"])
    assert (await books(shop))[0] > before[0]
    service: Service = shop.app.state.service
    for user, test in (("ada", False), ("ada", True), ("a-check", True)):  # no mark, no mark on the orders, and both
        event = Event("users.v1.deleted", user, {"user_id": user}, test=test)
        await service.bus.publish(event.type, event.encode(), message_id=event.id, headers={})

    async def erased() -> bool:
        return await shop.count("events", "test") == 0

    await eventually(erased)
    shop.become(token(sub="ada"))
    assert await books(shop) == before
    assert (await shop.read(customer["id"]))["status"] == "confirmed"


async def test_erasing_one_test_account_leaves_the_orders_and_the_shelf_of_another(
    open_shop: OpenShop, token: Token
) -> None:
    async with open_shop() as shop:
        kept: dict[str, str] = {}
        for user in ("first", "second"):
            shop.become(token(sub=user, test=True))
            kept[user] = (await shop.settled((await shop.order((SKU, 1)))["id"]))["id"]
        async with shop.database.transaction() as connection:
            assert await erase_tests(connection, "first") == 1
        assert (await shop.read(kept["second"]))["status"] == "confirmed"
        assert await shop.count("events", f"stream = 'test-product-{SKU}'") == 4
        shop.become(token(sub="boss", roles=("admin",)))
        assert (await shop.http.get(f"/api/orders/{kept['first']}")).status_code == 404


async def test_test_order_that_is_still_under_way_ends_with_its_account(open_shop: OpenShop, token: Token) -> None:
    async with open_shop(payment_timeout=0.4) as shop:
        shop.become(token(sub="a-check", test=True))
        await shop.order((SKU, 1), pay="tok_error")  # tried again and again
        async with shop.database.transaction() as connection:
            await erase_tests(connection, "a-check")
        assert await shop.count("sagas") == 0
        shop.become(token(sub="ada"))
        assert (await shop.settled((await shop.order((SKU, 1)))["id"]))["status"] == "confirmed"
        assert await shop.count("events", "test") == 0


async def test_rebuilt_read_models_show_test_orders_and_their_stock_as_little_as_before(
    shop: Shop, token: Token
) -> None:
    before = await shop.stock(SKU)
    shop.become(token(sub="a-check", test=True))
    await shop.settled((await shop.order((SKU, 1)))["id"])
    for projection in views.ALL:
        await projections.rebuild(shop.database, projection)
    assert await shop.stock(SKU) == before
    assert await shop.count("product_view", "sku LIKE 'test-%'") == 0
    shop.become(token(sub="boss", roles=("admin",)))
    assert (await shop.http.get("/api/orders")).json()["items"] == []


async def test_events_of_the_shop_cannot_be_deleted_and_none_can_be_changed(shop: Shop, token: Token) -> None:
    await shop.settled((await shop.order((SKU, 1)))["id"])
    shop.become(token(sub="a-check", test=True))
    await shop.settled((await shop.order((SKU, 1)))["id"])
    refused = "events are facts: they are never changed or deleted"
    for statement in (
        "DELETE FROM events WHERE NOT test",
        "UPDATE events SET test = true",
        "UPDATE events SET type = ''",
    ):
        async with shop.database.acquire() as connection:
            with pytest.raises(asyncpg.RaiseError, match=refused):
                await connection.execute(statement)
