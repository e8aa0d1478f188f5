"""The playbook notification-service: e-mail, SMS and push messages, and a mailbox where no SMTP server is set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import ClassVar

from stepflow.handoff import DataDir, Endpoint, SecretFile, Value
from stepflow.playbook import Check, Feature, Playbook, StepInput
from stepflow.render import render_template
from stepflow.workload import Declaration, Port, Server, Workload
from stepflow_playbooks.notification_service.checks import checks
from stepflow_playbooks.notification_service.handoff import MAILBOX, NotificationHandoff
from stepflow_playbooks.notification_service.settings import CHANNELS, NotificationServiceSettings
from stepflow_playbooks.service import chassis_workload

NAME, SINK = "notification-service", "mail-sink"
SMTP = Endpoint(SINK, port="smtp")
SMTP_PASSWORD = SecretFile("smtp-password", given=True)


class NotificationService(Playbook[NotificationServiceSettings]):
    """Tells people what happened."""

    name: ClassVar[str] = NAME
    summary: ClassVar[str] = "Templated e-mail over SMTP from user and order events; SMS and push are recorded"
    settings = NotificationServiceSettings
    gives: ClassVar[type[NotificationHandoff]] = NotificationHandoff
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("email", ("e-mail", "e-mails", "mail", "mails", "smtp"), "mails over SMTP; on if no channel is named"),
        Feature("sms", ("sms", "text message", "text messages"), "SMS, recorded: no provider is built in yet"),
        Feature("push", ("push", "web push"), "push messages, recorded: no provider is built in yet"),
        Feature("templates", ("template", "templates"), "versioned, localised, sandboxed templates", always=True),
    )

    def render(self, step: StepInput[NotificationServiceSettings]) -> Mapping[str, bytes]:
        """The source of both workloads, and of the library that all services share."""
        context = {"platform": step.platform, "channels": channels(step), "sink": not step.settings.smtp_host}
        return render_template(NAME, "chassis", context=context)

    def declare(self, step: StepInput[NotificationServiceSettings]) -> Declaration:
        """The service with its database; the mail sink unless there is an SMTP server."""
        settings = step.settings
        sink = () if settings.smtp_host else (_sink(),)
        workloads = (_service(settings, channels(step)), *sink)
        return Declaration(workloads=workloads, servers=(Server("nats"), Server("postgres", "notifications")))

    def handoff(self, step: StepInput[NotificationServiceSettings]) -> NotificationHandoff:
        """Where messages are sent and templates managed."""
        mailbox = None if step.settings.smtp_host else MAILBOX
        return NotificationHandoff(delivers=step.delivers, channels=channels(step), mailbox=mailbox)

    def checks(self, step: StepInput[NotificationServiceSettings]) -> Collection[Check]:
        """The service answers and is guarded; the welcome mail of somebody new arrives."""
        return checks(channels(step), sink=not step.settings.smtp_host)


def channels(step: StepInput[NotificationServiceSettings]) -> tuple[str, ...]:
    """Say which channels are on: as set, else as the prompt names them, else e-mail."""
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
