"""Customers of the reference platform: they use it through its gateway, also while something is broken."""

from __future__ import annotations

import json
import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from patience import eventually
from workplace import Workplace

Json = dict[str, Any]
AWAY = {404, 409, 429, 500, 502, 503, 504}
"""What one gets while something is away; 404: from a gateway that has not heard of the service since it was started,
409: while the first try is at work, 429: who tries too often."""
ORDERS_EVERY, READS_EVERY = 0.25, 0.05  # seconds; a caller has 600 requests a minute


class Customer:
    """A user with an account, signed in."""

    def __init__(self, gateway: str) -> None:
        self.email, self.password = f"{secrets.token_hex(6)}@example.com", secrets.token_urlsafe(16)
        self.http = httpx2.Client(base_url=gateway, timeout=90)
        account = {"email": self.email, "password": self.password, "name": "Ada"}
        made = self.http.post("/api/users", json=account)
        assert made.status_code == 201, made.text
        self.sign_in(self.email, self.password)

    def sign_in(self, email: str, password: str) -> None:
        """Get a token."""
        answer = self.http.post("/api/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def order(self, stop: threading.Event) -> str:
        """Order something, and try again under the same key until it is accepted; "" when it has to stop before."""
        product = "EVENT-LANTERN"
        body = {"items": [{"sku": product, "quantity": 1}], "payment": {"token": "tok_ok"}}
        key, answer = {"Idempotency-Key": secrets.token_hex(8)}, None
        while not stop.is_set():
            try:
                answer = self.http.post("/api/orders", json=body, headers=key)
            except httpx2.TransportError:
                stop.wait(0.1)
                continue
            if answer.status_code == 202:
                return str(answer.json()["id"])
            assert answer.status_code in AWAY, f"{answer.status_code}: {answer.text}"
            stop.wait(0.1)
        return ""

    def listed(self, path: str, **query: str) -> list[Json]:
        """Return all items of a list, page by page."""
        found: list[Json] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = self.http.get(path, params={"limit": "100", **query, **({"cursor": cursor} if cursor else {})})
            assert answer.status_code == 200, answer.text
            found += answer.json()["items"]
            cursor = answer.json()["next"]
        return found


class Shop:
    """Customers of one test, who leave when it ends."""

    def __init__(self) -> None:
        self._customers: list[Customer] = []

    def customer(self, gateway: str) -> Customer:
        """Return a new one."""
        self._customers.append(made := Customer(gateway))
        return made

    def administrator(self, directory: Workplace) -> Customer:
        """Return one who may read all mails."""
        account = json.loads(directory.type("credentials", "--json"))["admin"]
        admin = self.customer(directory.gateway())
        admin.sign_in(account["email"], account["password"])
        return admin

    def close(self) -> None:
        """Close their connections."""
        for each in self._customers:
            each.http.close()


@contextmanager
def ordering(customer: Customer) -> Iterator[list[str]]:
    """Place one order after the other in the background; returns the ids of those that were accepted."""
    accepted: list[str] = []
    stop, errors = threading.Event(), []

    def work() -> None:
        try:
            while not stop.wait(ORDERS_EVERY):
                accepted.extend(filter(None, [customer.order(stop)]))
        except AssertionError as error:
            errors.append(error)

    try:
        with _in_the_background(work, stop):
            yield accepted
    finally:
        assert errors == []


@dataclass
class Load:
    """What became of the requests of a steady load."""

    good: int = 0
    bad: list[str] = field(default_factory=list)


@contextmanager
def steadily_asked(gateway: str, customers: Sequence[Customer], path: str) -> Iterator[Load]:
    """Let customers send requests in turn in the background, each with a connection of their own."""
    load, stop = Load(), threading.Event()

    def work() -> None:
        turn = 0
        while not stop.wait(READS_EVERY):
            http, turn = customers[turn % len(customers)].http, turn + 1
            try:
                status = http.get(f"{gateway}{path}").status_code
            except httpx2.TransportError as error:
                load.bad.append(repr(error))
                continue
            load.good += status == 200
            load.bad += [str(status)] * (status != 200)

    with _in_the_background(work, stop):
        yield load


@contextmanager
def _in_the_background(work: Any, stop: threading.Event) -> Iterator[None]:  # noqa: ANN401 - a function
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def none_is_lost(customer: Customer, accepted: Sequence[str], *, within: float = 60) -> None:
    """Each accepted order is there once and comes to its end, confirmed."""

    def pending() -> list[str]:
        return [each["id"] for each in customer.listed("/api/orders") if each["status"] == "pending"]

    eventually(lambda: not pending(), within=within, every=1)
    orders = {each["id"]: each for each in customer.listed("/api/orders")}
    assert set(accepted) <= set(orders)
    ended = Counter(f"{each['status']} {each.get('reason') or ''}".strip() for each in orders.values())
    assert ended == {"confirmed": len(orders)}


def one_mail_each(customer: Customer, admin: Customer, accepted: Sequence[str]) -> None:
    """For each accepted order there is one mail that confirms it."""
    wanted = {f"Order confirmed: {each}" for each in accepted}

    def subjects() -> Counter[str]:
        return Counter(each["subject"] for each in admin.listed("/mailbox/api/messages", to=customer.email))

    eventually(lambda: wanted <= set(subjects()), within=60, every=1)
    assert {subject: count for subject, count in subjects().items() if count != 1} == {}
