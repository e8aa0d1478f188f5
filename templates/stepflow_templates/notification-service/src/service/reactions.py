"""Reactions to events: events of users and orders become messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncpg import Connection

from chassis.events import Event, Reject
from service import messages, recipients
from service.composing import CannotSendError, Composer, Order
from service.recipients import Recipient
from service.text import clean

USERS = ("users.v1.registered", "users.v1.updated", "users.v1.deleted")
ORDERS = ("orders.v1.confirmed", "orders.v1.cancelled")
TEMPLATES = {"orders.v1.confirmed": "order-confirmed", "orders.v1.cancelled": "order-cancelled"}


@dataclass(frozen=True, slots=True)
class Reactions:
    """Handlers of events, each called inside the transaction of the inbox."""

    composer: Composer
    max_age: timedelta

    async def on_user(self, connection: Connection, event: Event) -> None:
        """Keep the known users; welcome a new one, and send what waited for them."""
        user_id = _text(event, "user_id")
        await recipients.lock(connection, user_id)
        if event.type == "users.v1.deleted":
            await recipients.forget(connection, user_id)
            await recipients.take_waiting(connection, user_id)
            await messages.erase(connection, user_id)
            if event.test:
                await messages.remove_tests(connection, user_id)
            return
        recipient = Recipient(user_id, _text(event, "email"), clean(str(event.data.get("name") or "")))
        await recipients.keep(connection, recipient, event.time)
        if event.type == "users.v1.registered":
            name = recipient.name or recipient.email
            await self._send(connection, event, recipient, "welcome", {"name": name, "email": recipient.email})
        for payload in await recipients.take_waiting(connection, user_id):
            await self._tell(connection, Event.decode(payload), recipient)

    async def on_order(self, connection: Connection, event: Event) -> None:
        """Notify a customer about an order; at once, or as soon as the customer is known."""
        user_id = _text(event, "user_id")
        if self._is_old(event):
            return
        await recipients.lock(connection, user_id)
        recipient = await recipients.find(connection, user_id)
        if recipient is None:
            await recipients.wait(connection, user_id, event.id, event.encode(), self.max_age)
        else:
            await self._tell(connection, event, recipient)

    async def _tell(self, connection: Connection, event: Event, recipient: Recipient) -> None:
        data = {**event.data, "name": recipient.name or recipient.email}
        await self._send(connection, event, recipient, TEMPLATES[event.type], data)

    async def _send(
        self, connection: Connection, event: Event, recipient: Recipient, template: str, data: Mapping[str, Any]
    ) -> None:
        if self._is_old(event) or "email" not in self.composer.channels:
            return
        order = Order(
            channel="email",
            template=template,
            to=recipient.email,
            to_name=recipient.name,
            data=data,
            user_id=recipient.user_id,
            dedupe_key=f"{event.id}/{template}",
            test=event.test,
        )
        try:
            await self.composer.queue(connection, order)
        except CannotSendError as error:
            raise Reject(str(error)) from None

    def _is_old(self, event: Event) -> bool:
        return datetime.now(UTC) - event.time > self.max_age


def _text(event: Event, field: str) -> str:
    value = event.data.get(field)
    if not isinstance(value, str) or not value:
        raise Reject(f"`data.{field}` of {event.type} is missing")
    return clean(value)
