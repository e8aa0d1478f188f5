"""What a step may set."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from stepflow.playbook import Settings

SENDER = re.compile(r"(?:[^\r\n<>@]+ <[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+)")
CHANNELS = ("email", "sms", "push")


class NotificationServiceSettings(Settings):
    """Which channels are on, and the SMTP server that takes the mails; without one they stay in a mailbox here."""

    replicas: int = Field(default=1, ge=1, le=20, description="Copies of the service; they share one queue.")
    channels: tuple[str, ...] = Field(
        default=(), description="email, sms, push, separated by commas; by default those that the prompt names."
    )
    smtp_host: str = Field(
        default="", max_length=253, pattern=r"^[\w.:-]*$", description="The SMTP server; by default a mailbox here."
    )
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    smtp_tls: Literal["starttls", "tls", "none"] = Field(default="starttls", description="How the way is encrypted.")
    smtp_user: str = Field(
        default="",
        max_length=254,
        description="Who signs in at the SMTP server; the password is the secret `smtp-password`. Empty: nobody.",
    )
    mail_from: str = Field(
        default="Platform <no-reply@platform.example>", max_length=254, description="The sender of the mails."
    )
    locale: str = Field(
        default="en",
        pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$",
        description="The language of those of whom none is known: `en`, `de`, `de-AT`.",
    )

    @field_validator("channels", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip().lower() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("channels")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for channel in value:
            if channel.replace("-", "") not in CHANNELS:
                raise ValueError(f"`{channel}` is no channel: choose from {', '.join(CHANNELS)}")
        return tuple(channel for channel in CHANNELS if channel in {each.replace("-", "") for each in value})

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        if not SENDER.fullmatch(value):
            raise ValueError(f"`{value}` is no sender: write it as `Shop <no-reply@shop.example>`")
        return value

    @model_validator(mode="after")
    def _whole(self) -> NotificationServiceSettings:
        if self.smtp_user and not self.smtp_host:
            raise ValueError("`smtp_user` signs in at an SMTP server: set `smtp_host`, too")
        return self
