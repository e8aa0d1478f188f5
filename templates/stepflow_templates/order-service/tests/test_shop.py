"""Orders from the customer's side: placed, paid, refused, cancelled, read."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from order_fixtures import OpenShop, Shop


async def test_order_with_a_good_token_is_confirmed_at_catalogue_prices(shop: Shop) -> None:
    before = await shop.stock("RUBBER-DUCK")
    placed = await shop.order(("RUBBER-DUCK", 2), ("TEAPOT-418", 1))
    assert (placed["status"], placed["version"]) == ("pending", 1)
    order = await shop.settled(placed["id"])
    assert (order["status"], order["total"], order["currency"]) == ("confirmed", 2 * 1290 + 4180, "EUR")
    assert await shop.captured(placed["id"]) == ["captured"]
    assert await shop.stock("RUBBER-DUCK") == before - 2


async def test_declined_order_is_cancelled_and_its_stock_comes_back(shop: Shop) -> None:
    before = await shop.stock("RUBBER-DUCK")
    order = await shop.settled((await shop.order(("RUBBER-DUCK", 2), pay="tok_declined"))["id"])
    assert (order["status"], order["reason"]) == ("cancelled", "payment declined: the card was declined")
    assert await shop.captured(order["id"]) == ["declined"]
    assert await shop.stock("RUBBER-DUCK") == before


async def test_order_of_something_out_of_stock_is_cancelled_and_takes_nothing(shop: Shop) -> None:
    before = await shop.stock("CACTUS-404")
    order = await shop.settled((await shop.order(("CACTUS-404", 1), ("OUT-OF-STOCK", 1)))["id"])
    assert (order["status"], order["reason"]) == ("cancelled", "out of stock: OUT-OF-STOCK")
    assert await shop.captured(order["id"]) == []
    assert await shop.stock("CACTUS-404") == before


async def test_slow_payment_is_asked_for_again_and_charged_once(open_shop: OpenShop) -> None:
    async with open_shop(payment_timeout=0.4) as shop:
        order = await shop.settled((await shop.order(("RUBBER-DUCK", 1), pay="tok_slow"))["id"])
        assert order["status"] == "confirmed"
        assert await shop.captured(order["id"]) == ["captured"]


async def test_payment_that_always_fails_is_given_up_and_voided_in_time(open_shop: OpenShop) -> None:
    async with open_shop(payment_patience=3) as shop:
        before = await shop.stock("RUBBER-DUCK")
        order = await shop.settled((await shop.order(("RUBBER-DUCK", 1), pay="tok_error"))["id"])
        assert (order["status"], order["reason"]) == (
            "cancelled",
            "payment timed out: no answer from the payment provider",
        )
        assert await shop.captured(order["id"]) == ["voided"]
        assert await shop.stock("RUBBER-DUCK") == before


async def test_confirmed_order_can_be_cancelled_and_everything_goes_back(shop: Shop) -> None:
    before = await shop.stock("RUBBER-DUCK")
    placed = await shop.order(("RUBBER-DUCK", 3))
    await shop.settled(placed["id"])
    answer = await shop.http.post(f"/api/orders/{placed['id']}/cancel", json={"reason": "changed my mind"})
    assert answer.status_code == 202, answer.text
    order = await shop.settled(placed["id"])
    assert (order["status"], order["reason"], order["payment_id"]) == ("cancelled", "changed my mind", None)
    assert await shop.captured(placed["id"]) == ["voided"]
    assert await shop.stock("RUBBER-DUCK") == before


async def test_cancelled_order_cannot_be_cancelled_again(shop: Shop) -> None:
    order = await shop.settled((await shop.order(("OUT-OF-STOCK", 1)))["id"])
    answer = await shop.http.post(f"/api/orders/{order['id']}/cancel")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    detail = f"order {order['id']} cannot do this: it is cancelled already"
    assert (answer.json()["title"], answer.json()["detail"]) == ("Illegal transition", detail)


async def test_cancelling_another_version_than_the_present_one_is_a_conflict(shop: Shop) -> None:
    order = await shop.settled((await shop.order(("RUBBER-DUCK", 1)))["id"])
    path = f"/api/orders/{order['id']}/cancel"
    answer = await shop.http.post(path, json={"expected_version": 1})
    assert (answer.status_code, answer.json()["title"]) == (409, "Version conflict")
    answer = await shop.http.post(path, headers={"If-Match": '"1"'})
    assert answer.status_code == 412
    answer = await shop.http.post(path, headers={"If-Match": f'"{order["version"]}"'})
    assert answer.status_code == 202


async def test_events_and_versions_tell_the_whole_story(shop: Shop) -> None:
    order = await shop.settled((await shop.order(("RUBBER-DUCK", 1)))["id"])
    events = (await shop.http.get(f"/api/orders/{order['id']}/events")).json()["items"]
    types = ["order-placed", "stock-reserved", "payment-authorised", "order-confirmed"]
    assert [event["type"] for event in events] == types
    assert [event["version"] for event in events] == [1, 2, 3, 4]
    was = (await shop.http.get(f"/api/orders/{order['id']}", params={"as_of": 2})).json()
    assert (was["status"], was["version"], was["payment_id"]) == ("pending", 2, None)
    answer = await shop.http.get(f"/api/orders/{order['id']}", params={"as_of": 9})
    detail = f"Order `{order['id']}` is at version 4; there is no version 9 yet."
    assert (answer.status_code, answer.json()["detail"]) == (404, detail)


async def test_same_idempotency_key_places_one_order(shop: Shop) -> None:
    body = {"items": [{"sku": "RUBBER-DUCK", "quantity": 1}], "payment": {"token": "tok_ok"}}
    key = {"Idempotency-Key": "once"}
    first = await shop.http.post("/api/orders", json=body, headers=key)
    again = await shop.http.post("/api/orders", json=body, headers=key)
    assert first.status_code == again.status_code == 202
    assert first.content == again.content
    assert first.headers["location"] == again.headers["location"] == f"/api/orders/{first.json()['id']}"
    other = await shop.http.post("/api/orders", json=body | {"payment": {"token": "tok_slow"}}, headers=key)
    assert other.status_code == 422


async def test_key_whose_first_answer_was_lost_in_a_crash_still_places_one_order(shop: Shop) -> None:
    """The order was committed, the answer was not stored: the key alone leads back to the order."""
    body = {"items": [{"sku": "RUBBER-DUCK", "quantity": 1}], "payment": {"token": "tok_ok"}}
    key = {"Idempotency-Key": "once"}
    first = await shop.http.post("/api/orders", json=body, headers=key)
    async with shop.database.acquire() as connection:
        await connection.execute("DELETE FROM idempotency_keys")
    again = await shop.http.post("/api/orders", json=body, headers=key)
    assert again.json()["id"] == first.json()["id"]
    async with shop.database.acquire() as connection:
        await connection.execute("DELETE FROM idempotency_keys")
        assert await connection.fetchval("SELECT count(*) FROM sagas") == 1
    items = [{"sku": "RUBBER-DUCK", "quantity": 2}]
    other = await shop.http.post("/api/orders", json=body | {"items": items}, headers=key)
    assert (other.status_code, other.json()["title"]) == (422, "Idempotency key reused")


async def test_unknown_products_are_pointed_at(shop: Shop) -> None:
    items = [{"sku": "RUBBER-DUCK", "quantity": 1}, {"sku": "UNOBTAINIUM", "quantity": 1}]
    answer = await shop.http.post("/api/orders", json={"items": items, "payment": {"token": "tok_ok"}})
    assert (answer.status_code, answer.json()["title"]) == (409, "Unknown products")
    errors = [{"pointer": "#/items/1/sku", "detail": "`UNOBTAINIUM` is not in the catalogue"}]
    assert answer.json()["errors"] == errors


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"items": [], "payment": {"token": "tok_ok"}}, "#/items"),
        ({"items": [{"sku": "RUBBER-DUCK", "quantity": 0}], "payment": {"token": "tok_ok"}}, "#/items/0/quantity"),
        ({"items": [{"sku": "RUBBER-DUCK", "quantity": 1}], "payment": {"token": "4111"}}, "#/payment/token"),
        ({"items": [{"sku": "RUBBER-DUCK", "quantity": 1, "price": 1}], "payment": {"token": "tok_ok"}}, "/price"),
    ],
)
async def test_unacceptable_order_is_refused_with_a_pointer(shop: Shop, body: object, pointer: str) -> None:
    answer = await shop.http.post("/api/orders", json=body)
    assert answer.status_code == 422
    assert pointer in answer.json()["errors"][0]["pointer"]


async def test_orders_of_others_do_not_exist_but_for_administrators(shop: Shop, token: Callable[..., str]) -> None:
    order = await shop.order(("RUBBER-DUCK", 1))
    path = f"/api/orders/{order['id']}"
    stranger = {"Authorization": f"Bearer {token(sub='eve')}"}
    for answer in (
        await shop.http.get(path, headers=stranger),
        await shop.http.get(f"{path}/events", headers=stranger),
        await shop.http.get(path, params={"as_of": 1}, headers=stranger),
        await shop.http.post(f"{path}/cancel", headers=stranger),
        await shop.http.get("/api/orders/no-such-order", headers=stranger),
    ):
        assert answer.status_code == 404, answer.text
    assert (await shop.http.get("/api/orders", headers=stranger)).json()["items"] == []
    admin = {"Authorization": f"Bearer {token(sub='root', roles=('admin', 'user'))}"}
    assert (await shop.http.get(path, headers=admin)).status_code == 200
    client = {"Authorization": f"Bearer {token(roles=(), scopes=('orders:read',))}"}
    assert (await shop.http.get(path, headers=client)).status_code == 200
    assert (await shop.http.post(f"{path}/cancel", headers=client)).status_code == 403


async def test_order_list_is_paged_newest_first(shop: Shop) -> None:
    placed = [(await shop.order(("RUBBER-DUCK", 1)))["id"] for _ in range(3)]
    last = await shop.order(("RUBBER-DUCK", 1))
    headers = {"If-Consistent-With": str(last["consistency_token"])}
    first = await shop.http.get("/api/orders", params={"limit": 3}, headers=headers)
    assert [order["id"] for order in first.json()["items"]] == [last["id"], placed[2], placed[1]]
    assert first.headers["link"].endswith('rel="next"')
    second = await shop.http.get("/api/orders", params={"limit": 3, "cursor": first.json()["next"]})
    assert [order["id"] for order in second.json()["items"]] == [placed[0]]
    assert second.json()["next"] is None


async def test_token_of_a_write_that_never_was_is_refused(shop: Shop) -> None:
    answer = await shop.http.get("/api/orders", headers={"If-Consistent-With": "999999"})
    detail = "There is no write 999999 yet: this is not a token of this service."
    assert (answer.status_code, answer.json()["detail"]) == (409, detail)


async def test_catalogue_is_open_to_everybody_and_everything_else_is_not(shop: Shop) -> None:
    del shop.http.headers["Authorization"]
    products = (await shop.http.get("/api/products")).json()["items"]
    assert {product["sku"]: product["stock"] for product in products}["OUT-OF-STOCK"] == 0
    assert len(products) > 5
    answer = await shop.http.get("/api/orders")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
