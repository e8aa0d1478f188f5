"""What `/api/notifications` takes and gives, as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from service.messages import Message, Moment
from service.providers import Provider
from service.providers.sandbox import Recorded
from service.text import Text

Channel = Literal["email", "sms", "push"]
Status = Literal["queued", "sending", "sent", "failed"]
Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[Text | None, Query(max_length=500, description="`next` of the page before.")]

OfTests = Annotated[bool, Query(alias="test", description="For administrators: those to test accounts instead.")]


class Send(BaseModel):
    """A message to be sent."""

    model_config = ConfigDict(extra="forbid")

    channel: Channel
    template: Text = Field(min_length=1, max_length=64, examples=["welcome"])
    to: Text = Field(min_length=1, max_length=1024, description="An e-mail address, a phone number, a push address.")
    data: dict[str, Any] = Field(default_factory=dict, description="The template's variables.")
    locale: Text = Field(default="", max_length=11, description="BCP 47; the platform's language when empty.")
    user_id: Text | None = Field(default=None, max_length=64, description="The user who may see the message.")


class Entry(BaseModel):
    """One entry of a message's timeline."""

    at: datetime
    event: str
    detail: str


class Notification(BaseModel):
    """A message and what became of it."""

    id: str
    status: Status
    channel: Channel
    template: str
    version: int
    locale: str
    to: str
    user_id: str | None
    subject: str
    attempts: int
    provider: str | None
    provider_id: str | None
    reason: str | None
    created_at: datetime
    updated_at: datetime
    next_attempt_at: datetime | None


class NotificationDetail(Notification):
    """A message with its text and its timeline."""

    text: str
    html: str
    timeline: list[Entry]


class RecordedMessage(BaseModel):
    """A message that a sandbox provider recorded; it has not left the platform."""

    id: str
    channel: Channel
    to: str
    subject: str
    text: str
    detail: dict[str, Any]
    recorded_at: datetime


class ChannelState(BaseModel):
    """A channel: whether it is on, who delivers, and whether messages really leave the platform."""

    channel: Channel
    enabled: bool
    provider: str | None
    real: bool
    note: str


def summary(message: Message) -> dict[str, Any]:
    """Return the fields of `Notification`."""
    names = ("id", "status", "channel", "template", "version", "locale", "user_id", "attempts", "provider")
    more = ("provider_id", "reason", "created_at", "updated_at")
    waiting = message.due_at if message.status == "queued" else None
    plain = {name: getattr(message, name) for name in (*names, *more)}
    return plain | {"to": message.recipient, "subject": message.content.subject, "next_attempt_at": waiting}


def detail(message: Message, timeline: list[Moment]) -> NotificationDetail:
    """Show a message with its text and its timeline."""
    entries = [Entry(at=moment.at, event=moment.event, detail=moment.detail) for moment in timeline]
    content = {"text": message.content.text, "html": message.content.html}
    return NotificationDetail(**summary(message), **content, timeline=entries)


def recording(recorded: Recorded) -> RecordedMessage:
    """Show what a sandbox provider was given."""
    names = ("id", "channel", "subject", "detail", "recorded_at")
    plain = {name: getattr(recorded, name) for name in names}
    return RecordedMessage(**plain, to=recorded.recipient, text=recorded.body)


def state(channel: Channel, provider: Provider | None) -> ChannelState:
    """Show a channel; without a provider it is switched off."""
    if provider is None:
        return ChannelState(channel=channel, enabled=False, provider=None, real=False, note="switched off")
    return ChannelState(channel=channel, enabled=True, provider=provider.name, real=provider.real, note=provider.note)
