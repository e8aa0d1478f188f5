"""SMS and push where no provider is configured: what would be sent is recorded, nothing leaves the platform."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asyncpg import Connection

from chassis.database import Database
from service.messages import Message
from service.providers import RefusedError
from service.sms import E164, segments


@dataclass(frozen=True, slots=True)
class Recorded:
    """A message that a sandbox provider received."""

    id: str
    channel: str
    recipient: str
    subject: str
    body: str
    detail: dict[str, Any]
    recorded_at: datetime


class SandboxProvider:
    """Records the messages of one channel."""

    real = False

    def __init__(self, channel: str, database: Database) -> None:
        """Record messages of `channel` in `database`."""
        self.name = f"sandbox-{channel}"
        self.note = f"no {channel} provider is configured: messages are recorded, none is sent"
        self._channel = channel
        self._database = database

    async def deliver(self, message: Message) -> str:
        """Record a message, once."""
        if self._channel == "sms" and not E164.fullmatch(message.recipient):
            raise RefusedError(f"`{message.recipient[:40]}` is not a phone number: write it as +491701234567")
        detail: dict[str, Any] = {}
        if self._channel == "sms":
            counted = segments(message.content.text)
            detail = {"encoding": counted.encoding, "units": counted.units, "segments": counted.count}
        async with self._database.transaction() as connection:
            await connection.execute(
                """INSERT INTO recorded (id, channel, recipient, subject, body, detail, test)
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING""",
                *(message.id, self._channel, message.recipient, message.content.subject, message.content.text),
                *(detail, message.test),
            )
        return message.id


async def recorded(
    connection: Connection,
    before: tuple[datetime, str] | None,
    limit: int,
    *,
    channel: str | None,
    to: str | None,
    test: bool,
) -> list[Recorded]:
    """List what was recorded, newest first: what was to people or, with `test`, to test accounts."""
    rows = await connection.fetch(
        """SELECT id, channel, recipient, subject, body, detail, recorded_at FROM recorded
           WHERE ($1::timestamptz IS NULL OR (recorded_at, id) < ($1, $2))
             AND ($4::text IS NULL OR channel = $4) AND ($5::text IS NULL OR recipient = $5) AND test = $6
           ORDER BY recorded_at DESC, id DESC LIMIT $3""",
        *(before[0] if before else None, before[1] if before else None, limit, channel, to, test),
    )
    return [Recorded(**row) for row in rows]
