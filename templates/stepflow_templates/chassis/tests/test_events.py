"""Events: out through the outbox, in through the inbox, and to the dead letters when all attempts fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import ValidationError, validate
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError
from notes import Book, Note, hear, notes_router

from chassis import consumer
from chassis.app import Service
from chassis.events import Event, Outbox, Reject
from chassis.testing import Client, eventually

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v, max_size=3), max_leaves=5
)


@given(data=st.dictionaries(st.text(), JSON, max_size=4), subject=st.text())
def test_an_event_survives_being_encoded(data: dict[str, object], subject: str) -> None:
    event = Event("users.v1.noted", subject, data, time=datetime(2026, 1, 2, tzinfo=UTC))
    assert Event.decode(event.encode()) == event


@given(payload=st.binary() | JSON.map(lambda value: repr(value).encode()))
def test_whatever_is_not_an_event_is_rejected_with_a_reason(payload: bytes) -> None:
    with pytest.raises(Reject, match=r"CloudEvent"):
        Event.decode(payload)


def listening(service: Service, *, with_database: bool = True) -> Service:
    service.consume(
        stream="users",
        durable="notes-hears",
        types=("users.v1.noted",),
        handler=hear,
        database=service.main_database if with_database else None,
    )
    return service


async def heard(service: Service) -> list[str]:
    async with service.main_database.acquire() as connection:
        return [row["text"] for row in await connection.fetch("SELECT text FROM heard ORDER BY ctid")]


async def test_events_arrive_in_order_and_once_although_published_twice(
    make_service: Callable[[], Service], client: Client
) -> None:
    service = listening(make_service())
    async with client(service.app(notes_router(service))) as http:
        for number in range(5):
            assert (await http.post("/notes", json={"text": f"n{number}"})).status_code == 201
        event = Event("users.v1.noted", "9", {"text": "again"})
        for attempt in range(2):
            await service.bus.publish(event.type, event.encode(), message_id=f"m{attempt}", headers={})
        last = Event("users.v1.noted", "10", {"text": "last"})
        await service.bus.publish(last.type, last.encode(), message_id=last.id, headers={})

        async def complete() -> bool:
            return "last" in await heard(service) and "n4" in await heard(service)

        await eventually(complete)
        found = await heard(service)
        assert [text for text in found if text.startswith("n")] == ["n0", "n1", "n2", "n3", "n4"]
        assert found.count("again") == 1

        async def all_published() -> bool:
            async with service.main_database.acquire() as connection:
                return bool(await connection.fetchval("SELECT count(*) = 0 FROM outbox"))

        await eventually(all_published)


async def test_an_event_of_a_transaction_that_rolls_back_is_never_published(
    make_service: Callable[[], Service], client: Client
) -> None:
    service = make_service()
    async with client(service.app(notes_router(service))) as http:

        async def write_and_fail() -> None:
            async with service.main_database.transaction() as connection:
                await Outbox.put(connection, Event("users.v1.noted", "1", {"text": "lost"}))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await write_and_fail()
        await http.post("/notes", json={"text": "kept"})
        js = await service.bus.jetstream()

        async def published() -> int:
            try:
                return (await js.stream_info("users")).state.messages
            except nats.js.errors.NotFoundError:
                return 0

        assert await eventually(published) == 1


async def test_events_are_described(make_service: Callable[[], Service], client: Client) -> None:
    service = listening(make_service())
    service.publishes = {"users.v1.written": Note, "users.v1.bound": Book}
    async with client(service.app()) as http:
        document = (await http.get("/asyncapi.json")).json()
    assert (document["asyncapi"], document["info"]) == ("3.0.0", {"title": "Notes", "version": "1.2.3"})
    assert {name: one["action"] for name, one in document["operations"].items()} == {
        "publish.users.v1.bound": "send",
        "publish.users.v1.written": "send",
        "consume.users.v1.noted": "receive",
    }
    for kind, good, bad in (
        ("users.v1.written", {"text": "x"}, {}),
        ("users.v1.bound", {"pages": [{"text": "x"}]}, {"pages": [{}]}),
    ):
        schema = {**document, "$ref": f"#/components/messages/{kind}/payload"}  # every reference is into the document
        validate(json.loads(Event(kind, "1", good, source="s").encode()), schema)
        validate(json.loads(Event(kind, "1", good, source="s", test=True).encode()), schema)
        with pytest.raises(ValidationError, match="'text' is a required property"):
            validate(json.loads(Event(kind, "1", bad, source="s").encode()), schema)


async def test_dead_letters_are_listed_replayed_and_discarded_by_administrators_only(
    make_service: Callable[[], Service],
    client: Client,
    token: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer, "BACK_OFF", (0.01,))
    service = listening(make_service())
    admin = {"Authorization": f"Bearer {token(roles=('admin', 'user'))}"}
    async with client(service.app(notes_router(service))) as http:
        for text in ("poison", "broken", "fine"):
            await http.post("/notes", json={"text": text})

        async def fine() -> bool:
            return await heard(service) == ["fine"]

        await eventually(fine)
        assert (await http.get("/dead-letters")).status_code == 401
        user = {"Authorization": f"Bearer {token()}"}
        assert (await http.get("/dead-letters", headers=user)).status_code == 403

        first = (await http.get("/dead-letters?limit=1", headers=admin)).json()
        second = (await http.get(f"/dead-letters?limit=1&cursor={first['next']}", headers=admin)).json()
        letters = first["items"] + second["items"]
        assert [(one["reason"], one["attempts"], one["event"]["data"]["text"]) for one in letters] == [
            ("poison is not for us", 1, "poison"),
            ("ValueError: cannot read this", 5, "broken"),
        ]
        assert second["next"] is None

        again = await http.post(f"/dead-letters/{letters[1]['id']}/replay", headers=admin)
        assert (again.status_code, again.json()["detail"]) == (409, "ValueError: cannot read this")
        assert (await http.delete(f"/dead-letters/{letters[0]['id']}", headers=admin)).status_code == 204
        assert (await http.delete(f"/dead-letters/{letters[0]['id']}", headers=admin)).status_code == 404
        left = (await http.get("/dead-letters", headers=admin)).json()
        assert [one["id"] for one in left["items"]] == [letters[1]["id"]]


async def test_a_replayed_dead_letter_is_handled_and_gone(
    make_service: Callable[[], Service], client: Client, token: Callable[..., str]
) -> None:
    service = listening(make_service())
    admin = {"Authorization": f"Bearer {token(roles=('admin',))}"}
    async with client(service.app()) as http:
        event = Event("users.v1.noted", "1", {"text": "late"})
        await service.bus.ensure_stream("dead")
        headers = {"Dead-Consumer": "notes-hears", "Dead-Type": event.type, "Dead-Attempts": "5"}
        await service.bus.publish("dead.notes.users.v1.noted", event.encode(), message_id="d1", headers=headers)
        assert (await http.post("/dead-letters/1/replay", headers=admin)).status_code == 204
        assert await heard(service) == ["late"]
        assert (await http.get("/dead-letters", headers=admin)).json() == {"items": [], "next": None}


async def made(service: Service, stream: str, durable: str) -> bool:
    """Whether a consumer is there."""
    with suppress(NotFoundError):
        return bool(await (await service.bus.jetstream()).consumer_info(stream, durable))
    return False


async def test_an_event_that_takes_long_is_not_given_to_another_replica(
    make_service: Callable[[], Service], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = 2.0
    monkeypatch.setattr(consumer, "ACK_WAIT", lease)
    service, clock = make_service(), asyncio.get_running_loop().time
    handled: list[str] = []
    extended = asyncio.Event()
    tell = Msg.in_progress

    async def counted(message: Msg) -> None:
        await tell(message)
        if clock() - taken[0] > 1.5 * lease:
            extended.set()

    async def work(event: Event) -> None:
        taken.append(clock())
        handled.append(event.subject)
        await extended.wait()

    taken: list[float] = []
    monkeypatch.setattr(Msg, "in_progress", counted)
    service.consume(stream="users", durable="worker", types=("users.v1.noted",), handler=work)
    async with client(service.app()):
        await eventually(partial(made, service, "users", "worker"))
        monkeypatch.setattr(consumer, "ACK_WAIT", lease / 8)  # told so often that a busy machine is not too late
        event = Event("users.v1.noted", "slow", {})
        await service.bus.publish(event.type, event.encode(), message_id=event.id, headers={})
        js = await service.bus.jetstream()

        async def acknowledged() -> bool:
            return bool((await js.consumer_info("users", "worker")).ack_floor.stream_seq == 1)

        await eventually(acknowledged)
    assert handled == ["slow"]


async def test_an_event_of_a_replica_that_died_goes_to_another(
    make_service: Callable[[], Service], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "ACK_WAIT", 0.5)
    first, second = listening(make_service()), listening(make_service())
    event = Event("users.v1.noted", "1", {"text": "left"})
    async with client(first.app()):
        await eventually(partial(made, first, "users", "notes-hears"))
    dead = await nats.connect(first.settings.nats_url.get_secret_value())
    subscription = await dead.jetstream().pull_subscribe_bind("notes-hears", stream="users")
    await dead.jetstream().publish(event.type, event.encode())

    async def taken() -> bool:
        with suppress(TimeoutError):
            return bool(await subscription.fetch(1, timeout=1))
        return False

    await eventually(taken)
    await dead.close()
    async with client(second.app()):

        async def rescued() -> bool:
            return await heard(second) == ["left"]

        await eventually(rescued)


async def test_an_event_of_a_test_account_reaches_only_who_asks_for_it(
    make_service: Callable[[], Service], client: Client
) -> None:
    service, asked = listening(make_service()), list[str]()

    async def note(event: Event) -> None:
        asked.append(f"{event.data['text']} {event.test}")

    service.consume(stream="users", durable="asks", types=("users.v1.noted",), handler=note, tests=True)
    async with client(service.app()):
        for number, test in enumerate((True, False)):
            event = Event("users.v1.noted", "1", {"text": f"n{number}"}, test=test)
            await service.bus.publish(event.type, event.encode(), message_id=event.id, headers={})

        async def both() -> bool:
            return await heard(service) == ["n1"] and len(asked) == 2

        await eventually(both)
    assert asked == ["n0 True", "n1 False"]


def test_only_true_marks_an_event_of_a_test_account_and_others_are_as_before() -> None:
    plain = json.loads(Event("users.v1.noted", "1", {}, source="s").encode())
    marked = json.loads(Event("users.v1.noted", "1", {}, source="s", test=True).encode())
    assert ("test" in plain, marked["test"]) == (False, True)
    for sent in ("true", 1, "", None):
        assert not Event.decode(json.dumps(plain | {"test": sent}).encode()).test


def test_a_traceparent_that_is_not_text_is_none() -> None:
    plain = json.loads(Event("users.v1.noted", "1", {}, source="s", traceparent=None).encode())
    assert Event.decode(json.dumps(plain | {"traceparent": 5}).encode()).traceparent is None
    assert Event.decode(json.dumps(plain | {"traceparent": "00-1"}).encode()).traceparent == "00-1"
