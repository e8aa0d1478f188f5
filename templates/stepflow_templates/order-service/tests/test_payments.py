"""The payment provider takes money once per key, refunds it, and admits only clients with the key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from fastapi import FastAPI
from order_fixtures import KEY, Json

from chassis.database import Database
from chassis.testing.waiting import eventually
from service.payments import storage
from service.payments.domain import Fate, Payment


def body(pay: str = "tok_ok", *, valid_for: float = 60, amount: int = 4800) -> Json:
    until = (datetime.now(UTC) + timedelta(seconds=valid_for)).isoformat()
    return {"order_id": "o-1", "amount": amount, "currency": "EUR", "token": pay, "valid_until": until}


@pytest.fixture
async def http(provider: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with the API key."""
    transport = httpx2.ASGITransport(app=provider)
    headers = {"X-Api-Key": KEY, "Idempotency-Key": "o-1"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        yield client


@pytest.mark.parametrize(
    ("token", "status", "reason"),
    [
        ("tok_ok", "captured", None),
        ("tok_declined", "declined", "the card was declined"),
        ("tok_stolen", "declined", "the token is unknown"),
    ],
)
async def test_token_decides(http: httpx2.AsyncClient, token: str, status: str, reason: str | None) -> None:
    payment = (await http.post("/payments", json=body(token))).json()
    assert (payment["status"], payment["reason"], payment["amount"]) == (status, reason, 4800)


async def test_ten_requests_at_once_with_one_key_are_one_payment(http: httpx2.AsyncClient) -> None:
    asked = body("tok_slow")
    answers = await asyncio.gather(*(http.post("/payments", json=asked) for _ in range(10)))
    assert {answer.json()["id"] for answer in answers} == {answers[0].json()["id"]}
    assert [each["status"] for each in (await _of_order(http))] == ["captured"]


async def test_key_with_another_body_is_refused(http: httpx2.AsyncClient) -> None:
    await http.post("/payments", json=body())
    answer = await http.post("/payments", json=body(amount=1))
    assert (answer.status_code, answer.json()["title"]) == (422, "Idempotency key reused")


async def test_voiding_twice_voids_once_and_a_repeated_request_takes_nothing_again(http: httpx2.AsyncClient) -> None:
    asked = body()
    payment = (await http.post("/payments", json=asked)).json()
    for _ in range(2):
        assert (await http.post(f"/payments/{payment['id']}/void")).json()["status"] == "voided"
    assert (await http.post("/payments", json=asked)).json()["status"] == "voided"


async def test_payment_voided_while_it_was_slow_is_never_captured(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    voided, settle = asyncio.Event(), storage.settle

    async def settle_later(database: Database, payment_id: str, fate: Fate) -> Payment:
        await voided.wait()
        return await settle(database, payment_id, fate)

    monkeypatch.setattr(storage, "settle", settle_later)
    paying = asyncio.create_task(http.post("/payments", json=body("tok_slow")))
    (found,) = await eventually(lambda: _of_order(http))
    await http.post(f"/payments/{found['id']}/void")
    voided.set()
    assert (await paying).json()["status"] == "voided"


async def test_request_that_comes_too_late_takes_nothing(http: httpx2.AsyncClient) -> None:
    payment = (await http.post("/payments", json=body(valid_for=-1))).json()
    assert (payment["status"], payment["reason"]) == ("declined", "the request came too late")


async def test_bank_that_fails_leaves_a_pending_payment(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/payments", json=body("tok_error"))).status_code == 424
    assert [each["status"] for each in await _of_order(http)] == ["pending"]


@pytest.mark.parametrize("key", [None, "", "sk_guessed", "é"])
async def test_without_the_key_nothing_is_told_or_taken(http: httpx2.AsyncClient, key: str | None) -> None:
    del http.headers["X-Api-Key"]
    headers = httpx2.Headers() if key is None else httpx2.Headers([(b"X-Api-Key", key.encode())])
    for answer in (
        await http.post("/payments", json=body(), headers=headers),
        await http.get("/payments", params={"order_id": "o-1"}, headers=headers),
        await http.post("/payments/p/void", headers=headers),
    ):
        assert answer.status_code == 401, answer.text


async def test_only_administrators_switch_faults(http: httpx2.AsyncClient, token: Callable[..., str]) -> None:
    assert (await http.put("/faults", json={"mode": "down"})).status_code == 401
    user = {"Authorization": f"Bearer {token()}"}
    assert (await http.put("/faults", json={"mode": "down"}, headers=user)).status_code == 403
    admin = {"Authorization": f"Bearer {token(roles=('admin', 'user'))}"}
    assert (await http.put("/faults", json={"mode": "down"}, headers=admin)).json() == {"mode": "down"}
    answer = await http.post("/payments", json=body())
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:stepflow:payments:not-processed")
    assert await _of_order(http) == []


async def _of_order(http: httpx2.AsyncClient) -> list[Json]:
    found: list[Json] = (await http.get("/payments", params={"order_id": "o-1"})).json()["items"]
    return found
