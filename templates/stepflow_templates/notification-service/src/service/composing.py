"""Turns a template and data into a queued message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asyncpg import Connection

from chassis.telemetry import current_traceparent
from service import messages, template_store
from service.locales import fallbacks
from service.mime import address
from service.rendering import BadTemplateError, render
from service.sms import E164

MAX_DATA = 32_768  # characters of JSON
MAX_TOKEN = 1024  # characters of a push address


class CannotSendError(Exception):
    """A message cannot be composed; `field` is what is wrong: `channel`, `template`, `to` or `data`."""

    def __init__(self, field: str, message: str) -> None:
        """Keep the field beside the message."""
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Order:
    """Who gets what. Two orders with the same `dedupe_key` make one message."""

    channel: str
    template: str
    to: str
    data: Mapping[str, Any]
    to_name: str = ""
    locale: str = ""
    user_id: str | None = None
    dedupe_key: str | None = None
    requested_by: str = ""
    test: bool = False


@dataclass(frozen=True, slots=True)
class Composer:
    """Renders templates of the enabled channels and queues the result."""

    channels: tuple[str, ...]
    locale: str

    async def queue(self, connection: Connection, order: Order) -> str | None:
        """Queue one message in the caller's transaction and return its id; None when it was queued before.

        Raises `CannotSendError`.
        """
        if order.channel not in self.channels:
            on = ", ".join(self.channels)
            raise CannotSendError("channel", f"the channel `{order.channel}` is switched off here; on: {on}")
        check_recipient(order.channel, order.to)
        if len(json.dumps(order.data, default=str)) > MAX_DATA:
            raise CannotSendError("data", f"more than {MAX_DATA} characters")
        locales = fallbacks(order.locale or self.locale, self.locale)
        stored = await template_store.find(connection, order.template, order.channel, locales)
        if stored is None:
            where = ", ".join(locales)
            raise CannotSendError("template", f"no template `{order.template}` for {order.channel} in {where}")
        try:
            content = render(stored.source, order.data)
        except BadTemplateError as problem:
            raise CannotSendError("data", f"template `{stored.id}` version {stored.version}: {problem}") from None
        draft = messages.Draft(
            channel=order.channel,
            template=stored.name,
            version=stored.version,
            locale=stored.locale,
            recipient=order.to,
            recipient_name=order.to_name,
            content=content,
            user_id=order.user_id,
            dedupe_key=order.dedupe_key,
            requested_by=order.requested_by,
            traceparent=current_traceparent(),
            test=order.test,
        )
        return await messages.enqueue(connection, draft)


def check_recipient(channel: str, to: str) -> None:
    """Reject what cannot be an address of this channel. Raises `CannotSendError`."""
    if channel == "email":
        try:
            address(to)
        except ValueError as error:
            raise CannotSendError("to", str(error)) from None
    elif channel == "sms" and not E164.fullmatch(to):
        raise CannotSendError("to", f"`{to[:40]}` is not a phone number: write it as +491701234567")
    elif channel == "push" and not (0 < len(to) <= MAX_TOKEN and to.isprintable() and " " not in to):
        raise CannotSendError("to", f"a push address is 1 to {MAX_TOKEN} printable characters without blanks")
