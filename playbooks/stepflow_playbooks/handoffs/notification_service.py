"""What a step of the playbook `notification-service` hands off."""

from __future__ import annotations

from stepflow.handoff import Endpoint, ServiceHandoff

NOTIFICATIONS = Endpoint("notification-service")
MAILBOX = Endpoint("mail-sink", path="/mailbox")


class NotificationHandoff(ServiceHandoff):
    """The notification service: its channels, where templates are managed, and the mailbox."""

    service: str = "notification-service"
    endpoint: Endpoint = NOTIFICATIONS
    routes: tuple[str, ...] = ("/api/notifications",)
    publishes: tuple[str, ...] = ("notifications.v1.sent", "notifications.v1.failed")
    channels: tuple[str, ...] = ("email",)
    templates: Endpoint = Endpoint("notification-service", path="/api/notifications/templates")
    mailbox: Endpoint | None = None
    """The mailbox that keeps all mails; None if an SMTP server is set."""
