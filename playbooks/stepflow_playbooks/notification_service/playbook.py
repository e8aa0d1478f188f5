"""The playbook notification-service: e-mail, SMS and push messages, and a mailbox if no SMTP server is set."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from stepflow.handoff import DataDir, Endpoint, SecretFile, Value
from stepflow.playbook import Check, Feature, Playbook, Settings, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, Port, Server, Workload
from stepflow_playbooks.handoffs.notification_service import MAILBOX, NotificationHandoff
from stepflow_playbooks.notification_service.checks import checks
from stepflow_playbooks.service import chassis_workload

NAME, SINK = "notification-service", "mail-sink"
SMTP = Endpoint(SINK, port="smtp")
SMTP_PASSWORD = SecretFile("smtp-password", given=True)
SENDER = re.compile(r"(?:[^\r\n<>@]+ <[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+)")
CHANNELS = ("email", "sms", "push")


class NotificationServiceSettings(Settings):
    """The channels, and the SMTP server; without one, mails stay in a mailbox of the platform."""

    replicas: int = Field(default=1, ge=1, le=20, description="Replicas of the service; they share one queue.")
    channels: tuple[str, ...] = Field(
        default=(), description="email, sms, push, separated by commas; by default those that the prompt names."
    )
    smtp_host: str = Field(
        default="",
        max_length=253,
        pattern=r"^[\w.:-]*$",
        description="The SMTP server; by default a mailbox of the platform.",
    )
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection is encrypted."
    )
    smtp_user: str = Field(
        default="",
        max_length=254,
        description="The user name at the SMTP server; the password is the secret `smtp-password`. Empty: no sign-in.",
    )
    mail_from: str = Field(
        default="Platform <no-reply@platform.example>", max_length=254, description="The sender of the mails."
    )
    locale: str = Field(
        default="en",
        pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$",
        description="The language of users who have not chosen one: `en`, `de`, `de-AT`.",
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
                raise ValueError(f"`{channel}` is not a channel: choose from {', '.join(CHANNELS)}")
        return tuple(channel for channel in CHANNELS if channel in {each.replace("-", "") for each in value})

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        if not SENDER.fullmatch(value):
            raise ValueError(f"`{value}` is not a sender: write it as `Shop <no-reply@shop.example>`")
        return value

    @model_validator(mode="after")
    def _whole(self) -> NotificationServiceSettings:
        if self.smtp_user and not self.smtp_host:
            raise ValueError("`smtp_user` needs an SMTP server: set `smtp_host`, too")
        return self


class NotificationService(Playbook[NotificationServiceSettings]):
    """Messages to people about their account and their orders."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "Templated e-mail over SMTP from user and order events; SMS and push are recorded"
    settings = NotificationServiceSettings
    gives: ClassVar[type[NotificationHandoff]] = NotificationHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("email", ("e-mail", "e-mails", "mail", "mails", "smtp"), "e-mail over SMTP; on if no channel is named"),
        Feature("sms", ("sms", "text message", "text messages"), "SMS, recorded only: no provider is built in yet"),
        Feature("push", ("push", "web push"), "push messages, recorded only: no provider is built in yet"),
        Feature("templates", ("template", "templates"), "versioned, localised, sandboxed templates", always=True),
    )

    def render(self, step: StepInput[NotificationServiceSettings]) -> Mapping[str, bytes]:
        """Return the source of both workloads and of the chassis."""
        context = {"platform": step.platform, "channels": channels(step), "sink": not step.settings.smtp_host}
        return render_template(NAME, "chassis", context=context)

    def declare(self, step: StepInput[NotificationServiceSettings]) -> Declaration:
        """Declare the service with its database, and the mail sink unless an SMTP server is set."""
        settings = step.settings
        sink = () if settings.smtp_host else (_sink(),)
        workloads = (_service(settings, channels(step)), *sink)
        return Declaration(workloads=workloads, servers=(Server("nats"), Server("postgres", "notifications")))

    def handoff(self, step: StepInput[NotificationServiceSettings]) -> NotificationHandoff:
        """Return where messages are sent and templates managed."""
        mailbox = None if step.settings.smtp_host else MAILBOX
        return NotificationHandoff(delivers=step.delivers, channels=channels(step), mailbox=mailbox)

    def checks(self, step: StepInput[NotificationServiceSettings]) -> Collection[Check]:
        """Return the checks of the service and of the welcome mail."""
        return checks(channels(step), sink=not step.settings.smtp_host)


def channels(step: StepInput[NotificationServiceSettings]) -> tuple[str, ...]:
    """Return the channels that are on: as set, or as the prompt names them, or else e-mail."""
    named = tuple(channel for channel in CHANNELS if channel in step.features)
    return step.settings.channels or named or ("email",)


def _service(settings: NotificationServiceSettings, on: tuple[str, ...]) -> Workload:
    env: dict[str, Value] = {
        "CHANNELS": ",".join(on),
        "MAIL_FROM": settings.mail_from,
        "LOCALE": settings.locale,
    }
    smtp = _server(settings) if settings.smtp_host else _own_sink()
    return chassis_workload(NAME, env | smtp, replicas=settings.replicas, database="notifications")


def _server(settings: NotificationServiceSettings) -> dict[str, Value]:
    server: dict[str, Value] = {
        "SMTP_HOST": settings.smtp_host,
        "SMTP_PORT": str(settings.smtp_port),
        "SMTP_TLS": settings.smtp_tls,
    }
    if settings.smtp_user:
        server |= {"SMTP_USER": settings.smtp_user, "SMTP_PASSWORD_FILE": SMTP_PASSWORD}
    return server


def _own_sink() -> dict[str, Value]:
    host, port = replace(SMTP, part="host"), replace(SMTP, part="port")
    return {"SMTP_HOST": host, "SMTP_PORT": port, "SMTP_TLS": "none", "SMTP_SINK": "true"}


def _sink() -> Workload:
    ports = (Port(), Port("smtp", 1025, env="SMTP_PORT"))
    env = {"MAILBOX_DIR": DataDir("mails")}
    return chassis_workload(SINK, env, context=NAME, module="service.mailbox", ports=ports, data=("mails",))
