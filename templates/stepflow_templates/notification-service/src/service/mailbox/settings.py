"""What the mail sink is configured with, from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from chassis.settings import Settings


class MailboxSettings(Settings):
    """The environment of the mail sink."""

    service: str = "mail-sink"
    smtp_port: int = Field(default=1025, ge=0, le=65535)
    mailbox_dir: Path
    """The folder of the mails."""
    keep: int = Field(default=10_000, ge=1)
    """How many mails are kept; the oldest go first."""
