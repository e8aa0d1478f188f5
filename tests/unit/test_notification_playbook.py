"""The notification-service playbook: channels by the words of the prompt, the mail sink, its settings."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from stepflow.handoff import Endpoint, SecretFile
from stepflow.playbook import Playbook, StepInput
from stepflow.registry.inputs import select
from stepflow.testing import PlaybookContract
from stepflow_playbooks.handoffs.notification_service import NotificationHandoff
from stepflow_playbooks.notification_service.playbook import NotificationService, NotificationServiceSettings

PLAYBOOK = NotificationService()


class TestContract(PlaybookContract):
    """The contract of playbooks."""

    def playbook(self) -> Playbook:
        return PLAYBOOK


def step(prompt: str = "", **settings: object) -> StepInput:
    chosen = NotificationServiceSettings.model_validate(settings)
    features = frozenset(select(PLAYBOOK.features, prompt))
    return StepInput(4, "Notifications", prompt, "mails", "shop", "local", chosen, features)


@pytest.mark.parametrize(
    ("prompt", "settings", "channels"),
    [
        ("Implement notification service for email, SMS, and push notifications", {}, "email,sms,push"),
        ("Implement e-mail notifications", {}, "email"),
        ("Send text messages", {}, "sms"),
        ("Notify people", {}, "email"),
        ("Manage templates", {}, "email"),
        ("Send e-mail", {"channels": "push, SMS"}, "sms,push"),
    ],
)
def test_only_the_channels_that_were_asked_for_are_on(prompt: str, settings: dict[str, object], channels: str) -> None:
    service = PLAYBOOK.declare(step(prompt, **settings)).workloads[0]
    assert service.env["CHANNELS"] == channels
    handoff = PLAYBOOK.handoff(step(prompt, **settings))
    assert isinstance(handoff, NotificationHandoff)
    assert ",".join(handoff.channels) == channels
    names = [check.name for check in PLAYBOOK.checks(step(prompt, **settings))]
    assert ("the mail arrives" in names) == ("email" in channels)


def test_without_an_smtp_server_the_mail_sink_is_declared_and_used() -> None:
    service, sink = PLAYBOOK.declare(step()).workloads
    assert (sink.name, sink.command) == ("mail-sink", ("python", "-m", "service.mailbox"))
    assert service.env["SMTP_HOST"] == Endpoint("mail-sink", "smtp", "host")
    assert (service.env["SMTP_SINK"], service.env["SMTP_TLS"]) == ("true", "none")
    assert "stay in the mail sink" in PLAYBOOK.render(step())["notification-service/README.md"].decode()


def test_with_an_smtp_server_there_is_no_sink_and_the_password_is_a_secret_that_is_given() -> None:
    chosen = step(smtp_host="smtp.example.org", smtp_user="shop")
    (service,) = PLAYBOOK.declare(chosen).workloads
    assert (service.env["SMTP_HOST"], service.env["SMTP_TLS"]) == ("smtp.example.org", "starttls")
    assert service.env["SMTP_PASSWORD_FILE"] == SecretFile("smtp-password", given=True)
    assert "SMTP_PASSWORD" not in service.env
    assert "SMTP_SINK" not in service.env
    assert "mail sink**" not in PLAYBOOK.render(chosen)["notification-service/README.md"].decode()
    handoff = PLAYBOOK.handoff(chosen)
    assert isinstance(handoff, NotificationHandoff)
    assert handoff.mailbox is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"channels": "email, fax"}, "`fax` is not a channel: choose from email, sms, push"),
        ({"smtp_user": "shop"}, "`smtp_user` needs an SMTP server: set `smtp_host`, too"),
        ({"smtp_host": "a b"}, "String should match pattern"),
        ({"locale": "English"}, "String should match pattern"),
        ({"mail_from": "nobody"}, "`nobody` is not a sender: write it as `Shop <no-reply@shop.example>`"),
    ],
)
def test_wrong_settings_are_refused_with_the_value_and_what_to_write(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        step("", **settings)
    assert says in str(caught.value)
