"""What the service does when something happened: events of users and orders become messages."""

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

USERS = ("users.v1.registered", "users.v1.updated", "users.v1.deleted")
ORDERS = ("orders.v1.confirmed", "orders.v1.cancelled")
TEMPLATES = {"orders.v1.confirmed": "order-confirmed", "orders.v1.cancelled": "order-cancelled"}


class UnknownRecipientError(Exception):
    """An order of a user whose registration has not been seen (yet): the event is tried again."""


@dataclass(frozen=True, slots=True)
class Reactions:
    """Handlers of events, each called inside the transaction of the inbox."""

    composer: Composer
    max_age: timedelta

    async def on_user(self, connection: Connection, event: Event) -> None:
        """Follow who there is; write to whoever is new."""
        data = event.data
        user_id = _text(event, "user_id")
        if event.type == "users.v1.deleted":
            await recipients.forget(connection, user_id)
            await messages.erase(connection, user_id)
            return
        recipient = Recipient(user_id, _text(event, "email"), str(data.get("name") or ""))
        await recipients.keep(connection, recipient, event.time)
        if event.type == "users.v1.registered":
            name = recipient.name or recipient.email
            await self._send(connection, event, recipient, "welcome", {"name": name, "email": recipient.email})

    async def on_order(self, connection: Connection, event: Event) -> None:
        """Tell a customer what became of an order."""
        if self._is_old(event):
            return
        user_id = _text(event, "user_id")
        recipient = await recipients.find(connection, user_id)
        if recipient is None:
            raise UnknownRecipientError(f"user `{user_id}` of order `{event.subject}` is not known")
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
    return value
