"""What the service is configured with, from the environment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from chassis.settings import Settings
from service.locales import LOCALE
from service.mime import sender

CHANNELS = ("email", "sms", "push")


class NotificationSettings(Settings):
    """The environment of the notification service."""

    service: str = "notification-service"
    database_url: SecretStr
    channels: Annotated[tuple[str, ...], NoDecode] = ("email",)
    """The enabled channels, separated by commas."""
    smtp_host: str
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_tls: Literal["none", "starttls", "tls"] = "starttls"
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_sink: bool = False
    """Whether the SMTP server is the platform's own mail sink, so that no mail leaves it."""
    mail_from: str = "Platform <no-reply@platform.example>"
    locale: str = "en"
    """The language of users without a known one."""
    event_max_age_hours: float = Field(default=24, gt=0)
    """Older events still update the known users, but no message is sent about them."""

    @field_validator("channels", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("channels")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [channel for channel in value if channel not in CHANNELS]
        if unknown or not value:
            raise ValueError(f"`{', '.join(unknown)}` is not a channel: choose from {', '.join(CHANNELS)}")
        return value

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        sender(value)
        return value

    @field_validator("locale")
    @classmethod
    def _locale(cls, value: str) -> str:
        if not LOCALE.fullmatch(value):
            raise ValueError(f"`{value}` is not a language: write it as `en` or `de-AT`")
        return value
