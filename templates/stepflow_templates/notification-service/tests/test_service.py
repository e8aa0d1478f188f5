"""The whole service with real NATS, PostgreSQL and SMTP: events become mails, once; failures are tried again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import nats
import pytest
from conftest import Sink
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from chassis.events import Event
from chassis.settings import load
from chassis.testing import Client, eventually
from chassis.testing.servers import free_port
from service import delivery
from service.__main__ import build
from service.settings import NotificationSettings

Start = Callable[..., Awaitable[httpx2.AsyncClient]]
ANN = {"user_id": "u1", "email": "ann@example.org", "name": "Ann <b>", "roles": ["user"]}
ITEMS = [{"sku": "TEA", "name": "Tea", "quantity": 2, "unit_price": 1250}]
ORDER = {"order_id": "o1", "user_id": "u1", "items": ITEMS, "total": 2500, "currency": "EUR"}


def event(kind: str, data: dict[str, Any], at: datetime | None = None) -> Event:
    return Event(kind, str(data["user_id"]), data, time=at or datetime.now(UTC), source="tests")


@pytest.fixture
async def js(nats_url: str) -> AsyncIterator[JetStreamContext]:
    connection = await nats.connect(nats_url)
    js = connection.jetstream()
    for stream in ("users", "orders", "notifications", "dead"):
        await js.add_stream(name=stream, subjects=[f"{stream}.>"])
    yield js
    await connection.close()


@pytest.fixture
async def http(
    *,
    settings_env: dict[str, str],
    js: JetStreamContext,
    sink: Sink,
    client: Client,
    token: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[httpx2.AsyncClient]:
    del settings_env, js
    own = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(sink.port), "SMTP_TLS": "none", "SMTP_SINK": "true"}
    for name, value in (own | {"CHANNELS": "email,sms"}).items():
        monkeypatch.setenv(name, value)
    async with client(build(load(NotificationSettings))) as opened:
        opened.headers["Authorization"] = f"Bearer {token(roles=('admin', 'user'))}"
        yield opened


async def publish(js: JetStreamContext, *events: Event) -> None:
    for each in events:
        await js.publish(each.type, each.encode(), headers={"Nats-Msg-Id": uuid4().hex})


async def told(js: JetStreamContext, kind: str, count: int) -> list[dict[str, Any]]:
    """Wait for as many events of a type and return their data."""
    subscription = await js.pull_subscribe(kind, stream="notifications")
    messages: list[Msg] = []
    while len(messages) < count:
        messages += await subscription.fetch(count - len(messages), timeout=60)
    await subscription.unsubscribe()
    return [json.loads(message.data)["data"] for message in messages]


@pytest.mark.usefixtures("http")
async def test_an_event_that_comes_three_times_makes_one_mail(js: JetStreamContext, sink: Sink) -> None:
    registered = event("users.v1.registered", ANN)
    await publish(js, registered, registered, event("orders.v1.confirmed", ORDER), registered)

    async def both() -> bool:
        return len(await sink.mails("ann@example.org")) >= 2

    await eventually(both)
    await publish(js, registered, event("orders.v1.cancelled", ORDER | {"reason": "payment declined"}))

    async def third() -> bool:
        return len(await sink.mails()) >= 3

    await eventually(third)
    subjects = sorted(mail.subject for mail in await sink.mails())
    assert subjects == ["Order cancelled: o1", "Order confirmed: o1", "Welcome, Ann <b>"]
    confirmed = next(mail for mail in await sink.mails() if "confirmed" in mail.subject)
    found = sink.store.get(confirmed.id)
    assert found is not None
    text = found[1].decode()
    assert "Total: 25.00 EUR" in text
    assert "Ann &lt;b&gt;" in text
    sent = await told(js, "notifications.v1.sent", 3)
    assert {(each["user_id"], each["to"], each["provider"]) for each in sent} == {("u1", "ann@example.org", "smtp")}


async def test_old_events_tell_who_there_is_but_no_one_is_written_to(
    http: httpx2.AsyncClient, js: JetStreamContext, sink: Sink
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=3)
    await publish(js, event("users.v1.registered", ANN, long_ago), event("orders.v1.confirmed", ORDER, long_ago))
    await publish(js, event("orders.v1.cancelled", ORDER | {"order_id": "o2", "reason": "sold out"}))
    await eventually(sink.mails)
    assert [mail.subject for mail in await sink.mails()] == ["Order cancelled: o2"]
    (listed,) = (await http.get("/api/notifications")).json()["items"]
    message = await became(http, listed["id"], "sent")
    assert (message["template"], message["to"]) == ("order-cancelled", "ann@example.org")


@pytest.mark.usefixtures("http")
async def test_an_order_of_someone_not_known_yet_waits_for_them(js: JetStreamContext, sink: Sink) -> None:
    confirmed = event("orders.v1.confirmed", ORDER)
    await publish(js, confirmed, confirmed, event("orders.v1.confirmed", ORDER | {"order_id": "o2", "user_id": "u2"}))

    async def taken() -> bool:
        info = await js.consumer_info("orders", "notification-service")
        return info.ack_floor is not None and info.ack_floor.stream_seq == 3

    await eventually(taken)
    assert await sink.mails() == []
    await publish(js, event("users.v1.registered", ANN), confirmed)

    async def both() -> bool:
        return len(await sink.mails()) >= 2

    await eventually(both)
    assert sorted(mail.subject for mail in await sink.mails()) == ["Order confirmed: o1", "Welcome, Ann <b>"]


async def test_a_deleted_user_is_forgotten(http: httpx2.AsyncClient, js: JetStreamContext, sink: Sink) -> None:
    await publish(js, event("users.v1.registered", ANN))
    await eventually(sink.mails)
    await publish(js, event("users.v1.deleted", {"user_id": "u1"}))

    async def erased() -> bool:
        text = (await http.get("/api/notifications")).text
        return "ann@example.org" not in text and "(erased)" in text

    await eventually(erased)


async def send(http: httpx2.AsyncClient, **changes: object) -> httpx2.Response:
    data = {"name": "Bob", "email": "bob@example.org"}
    body = {"channel": "email", "template": "welcome", "to": "bob@example.org", "data": data} | changes
    return await http.post("/api/notifications", json=body)


async def became(http: httpx2.AsyncClient, message: str, status: str) -> dict[str, Any]:
    async def asked() -> dict[str, Any]:
        answer: dict[str, Any] = (await http.get(f"/api/notifications/{message}")).json()
        return answer if answer["status"] == status else {}

    return await eventually(asked)


async def test_a_message_is_sent_in_the_best_language_and_its_timeline_tells(
    http: httpx2.AsyncClient, sink: Sink
) -> None:
    answer = await send(http, locale="de-AT")
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/notifications/{answer.json()['id']}"
    message = await became(http, answer.json()["id"], "sent")
    assert (message["subject"], message["locale"], message["attempts"]) == ("Willkommen, Bob", "de", 1)
    assert [entry["event"] for entry in message["timeline"]] == ["queued", "sent"]
    assert len(await sink.mails("bob@example.org")) == 1


@pytest.mark.parametrize(
    ("changes", "pointer", "says"),
    [
        ({"channel": "push", "to": "token"}, "#/channel", "the channel `push` is switched off here; on: email, sms"),
        ({"template": "nope"}, "#/template", "no template `nope` for email in en"),
        ({"to": "bob"}, "#/to", "`bob` is not an e-mail address"),
        ({"to": "bob@example.org\r\nBcc: x@y.z"}, "#/to", "`bob@example.org Bcc: x@y.z` is not an e-mail address"),
        ({"channel": "sms", "to": "0170 1"}, "#/to", "`0170 1` is not a phone number: write it as +491701234567"),
        ({"data": {"name": "Bob"}}, "#/data", "template `welcome.email.en` version 1: data: `email` missing"),
        ({"data": {"name": "x" * 40_000, "email": "b"}}, "#/data", "more than 32768 characters"),
    ],
)
async def test_what_cannot_be_sent_is_refused_at_once(
    http: httpx2.AsyncClient, changes: dict[str, Any], pointer: str, says: str
) -> None:
    answer = await send(http, **changes)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["errors"] == [{"pointer": pointer, "detail": says}]


async def test_sms_are_recorded_and_said_not_to_be_sent(http: httpx2.AsyncClient, js: JetStreamContext) -> None:
    answer = await send(http, channel="sms", to="+491701234567")
    await became(http, answer.json()["id"], "sent")
    (recorded,) = (await http.get("/api/notifications/recorded", params={"to": "+491701234567"})).json()["items"]
    assert recorded["detail"] == {"encoding": "gsm-7", "units": 56, "segments": 1}
    states = {state["channel"]: state for state in (await http.get("/api/notifications/channels")).json()["items"]}
    assert states["sms"]["note"] == "no sms provider is configured: messages are recorded, none is sent"
    assert [state["real"] for state in states.values()] == [False, False, False]
    assert states["push"]["enabled"] is False
    ((sent,)) = await told(js, "notifications.v1.sent", 1)
    assert (sent["channel"], sent["provider"]) == ("sms", "sandbox-sms")


async def test_a_server_that_is_down_is_tried_again_until_it_is_given_up(
    *,
    settings_env: dict[str, str],
    js: JetStreamContext,
    client: Client,
    token: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = str(free_port())
    for name, value in ({"SMTP_HOST": "127.0.0.1", "SMTP_PORT": port, "SMTP_TLS": "none"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(delivery, "delay", lambda attempt: 0.01 * attempt)
    async with client(build(load(NotificationSettings))) as http:
        http.headers["Authorization"] = f"Bearer {token(roles=('admin', 'user'))}"
        message = await became(http, (await send(http)).json()["id"], "failed")
        assert [entry["event"] for entry in message["timeline"]] == ["queued", *["postponed"] * 5, "failed"]
        assert message["reason"].startswith(f"given up after 6 attempts: SMTP server 127.0.0.1:{port}: ")
        (failed,) = await told(js, "notifications.v1.failed", 1)
        assert (failed["notification_id"], failed["reason"]) == (message["id"], message["reason"])
        monkeypatch.setattr(delivery, "delay", lambda _: 3600.0)
        retried = await http.post(f"/api/notifications/{message['id']}/retry")
        assert (retried.status_code, retried.json()["attempts"]) in {(202, 0), (202, 1)}
    assert settings_env


async def test_users_see_their_own_messages_only(
    http: httpx2.AsyncClient, js: JetStreamContext, sink: Sink, token: Callable[..., str]
) -> None:
    await publish(js, event("users.v1.registered", ANN))
    await eventually(sink.mails)
    await send(http)
    mine = {"Authorization": f"Bearer {token(sub='u1')}"}
    other = {"Authorization": f"Bearer {token(sub='u2')}"}
    (message,) = (await http.get("/api/notifications", headers=mine)).json()["items"]
    assert message["to"] == "ann@example.org"
    assert (await http.get("/api/notifications", headers=other)).json()["items"] == []
    path = f"/api/notifications/{message['id']}"
    assert (await http.get(path, headers=mine)).status_code == 200
    assert (await http.get(path, headers=other)).status_code == 404
    for refused in ("/api/notifications/templates", "/api/notifications/recorded"):
        assert (await http.get(refused, headers=mine)).status_code == 403
    http.headers.update(mine)
    assert (await send(http)).status_code == 403
    http.headers["Authorization"] = f"Bearer {token(roles=(), scopes=('notifications:write',), sub='shop')}"
    assert (await send(http)).status_code == 202
    assert len((await http.get("/api/notifications")).json()["items"]) == 1
    del http.headers["Authorization"]
    assert (await http.get("/api/notifications")).status_code == 401


async def test_a_repeated_request_with_one_key_sends_once(http: httpx2.AsyncClient, sink: Sink) -> None:
    http.headers["Idempotency-Key"] = "k1"
    first, again = await send(http), await send(http)
    assert first.json()["id"] == again.json()["id"]
    assert (await send(http, to="eve@example.org")).status_code == 422
    await became(http, first.json()["id"], "sent")
    assert len(await sink.mails()) == 1
