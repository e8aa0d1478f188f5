"""Messages to test accounts: composed and delivered like any other, seen only by who asks for them, and removed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
from conftest import Sink
from test_mailbox import MAIL
from test_service import ANN, ORDER, became, event, http, js, publish

from chassis.events import Event
from chassis.testing import eventually
from service.mailbox.store import MailStore

__all__ = ["http", "js"]
CHECK = ANN | {"user_id": "c1", "email": "check@checks.invalid", "name": "A Check"}
JetStream = Any


def marked(kind: str, data: dict[str, Any]) -> Event:
    return replace(event(kind, data), test=True)


async def mail_to(sink: Sink, address: str) -> None:
    """Wait until a mail to an address arrived."""

    async def there() -> bool:
        return bool(sink.store.page("~", 10, address, test=True) or sink.store.page("~", 10, address))

    await eventually(there)


async def test_mail_to_a_test_account_arrives_marked_and_in_no_list_of_others(
    http: httpx2.AsyncClient, js: JetStream, sink: Sink
) -> None:
    await publish(js, event("users.v1.registered", ANN), marked("users.v1.registered", CHECK))
    for address in ("ann@example.org", "check@checks.invalid"):
        await mail_to(sink, address)
    assert [each.to for each in await sink.mails()] == [("ann@example.org",)]
    (mail,) = sink.store.page("~", 10, None, test=True)
    found = sink.store.get(mail.id)
    assert (mail.subject, found is not None and b"X-Test-Account: true" in found[1]) == ("Welcome, A Check", True)

    async def listed(query: str) -> list[str]:
        return [each["to"] for each in (await http.get(f"/api/notifications{query}")).json()["items"]]

    assert await listed("") == ["ann@example.org"]
    assert await listed("?test=true") == ["check@checks.invalid"]


async def test_a_test_account_sees_its_own_messages(
    http: httpx2.AsyncClient, js: JetStream, sink: Sink, token: Callable[..., str]
) -> None:
    await publish(js, marked("users.v1.registered", CHECK))
    await mail_to(sink, "check@checks.invalid")
    own = {"Authorization": f"Bearer {token(sub='c1', test=True)}"}
    (mine,) = (await http.get("/api/notifications", headers=own)).json()["items"]
    assert (await became(http, mine["id"], "sent"))["template"] == "welcome"


async def test_its_deliveries_are_uncounted_and_its_events_marked(
    http: httpx2.AsyncClient, js: JetStream, sink: Sink
) -> None:
    before = await deliveries(http)
    await publish(js, marked("users.v1.registered", CHECK), event("users.v1.registered", ANN))
    for address in ("ann@example.org", "check@checks.invalid"):
        await mail_to(sink, address)
    subscription = await js.pull_subscribe("notifications.v1.sent", stream="notifications")
    sent: dict[str, bool] = {}
    while len(sent) < 2:
        for message in await subscription.fetch(1, timeout=60):
            told = json.loads(message.data)
            sent[told["data"]["to"]] = told.get("test", False)
    assert sent == {"check@checks.invalid": True, "ann@example.org": False}
    assert await deliveries(http) == before + 1


async def deliveries(http: httpx2.AsyncClient) -> float:
    lines = (await http.get("/metrics")).text.splitlines()
    counted = 'notifications_deliveries_total{channel="email",outcome="sent"}'
    return next((float(line.split()[-1]) for line in lines if line.startswith(counted)), 0)


async def test_when_a_test_account_is_deleted_no_message_to_it_is_left(
    http: httpx2.AsyncClient, js: JetStream, sink: Sink
) -> None:
    await publish(js, event("users.v1.registered", ANN), marked("users.v1.registered", CHECK))
    await publish(js, marked("orders.v1.confirmed", ORDER | {"user_id": "c1"}))

    async def both() -> bool:
        return len(sink.store.page("~", 10, "check@checks.invalid", test=True)) == 2

    await eventually(both)
    await publish(js, marked("users.v1.deleted", {"user_id": "c1"}))

    async def removed() -> bool:
        return not (await http.get("/api/notifications?test=true")).json()["items"]

    await eventually(removed)
    (kept,) = (await http.get("/api/notifications")).json()["items"]
    assert kept["to"] == "ann@example.org"


async def test_a_person_who_is_deleted_keeps_the_history_of_their_messages(
    http: httpx2.AsyncClient, js: JetStream, sink: Sink
) -> None:
    """The mark on the deletion alone removes nothing: the messages are a person's."""
    await publish(js, event("users.v1.registered", ANN))
    await mail_to(sink, "ann@example.org")
    await publish(js, marked("users.v1.deleted", {"user_id": "u1"}))

    async def erased() -> bool:
        items = (await http.get("/api/notifications")).json()["items"]
        return [each["to"] for each in items] == ["(erased)"]

    await eventually(erased)


TEST_MAIL = b"X-Test-Account: true\r\n" + MAIL


def test_a_mailbox_from_before_test_accounts_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "mails.sqlite"
    MailStore(path, 10)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE mails DROP COLUMN test")
        connection.execute(
            "INSERT INTO mails VALUES ('1', 'd', 'a@example.org', 'Hello', '2026-01-01T00:00:00.000Z', '')"
        )
    store = MailStore(path, 10)
    store.add("a@example.org", ["b@example.org"], TEST_MAIL)
    assert [each.subject for each in store.page("~", 10, None)] == ["Hello"]


def test_test_mails_push_no_other_out_are_uncounted_and_go_after_a_day(tmp_path: Path) -> None:
    store = MailStore(tmp_path / "mails.sqlite", 2)

    def add(raw: bytes, number: int) -> None:
        store.add("a@example.org", ["b@example.org"], raw.replace(b"<1@x>", b"<%d@x>" % number))

    for number in (1, 2):
        add(MAIL, number)
    for number in (3, 4, 5):
        add(TEST_MAIL, number)
    assert (len(store.page("~", 10, None)), len(store.page("~", 10, None, test=True))) == (2, 3)
    with closing(sqlite3.connect(tmp_path / "mails.sqlite")) as connection, connection:
        connection.execute("UPDATE mails SET received_at = '2026-01-01T00:00:00.000Z'")
    add(TEST_MAIL, 6)
    assert (len(store.page("~", 10, None)), len(store.page("~", 10, None, test=True))) == (2, 1)
    assert store.clear() == 2
    assert store.page("~", 10, None, test=True) == []
