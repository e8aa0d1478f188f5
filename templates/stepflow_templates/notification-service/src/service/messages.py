"""Messages in PostgreSQL: the delivery queue, and the outcome of each entry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from asyncpg import Connection, Record

from chassis.ids import uuid7
from service.rendering import Rendered

CLAIM = timedelta(seconds=60)  # after that its worker counts as dead, and another takes the message over
REDACTED = "(erased)"
NEWS = "messages"  # the PostgreSQL channel that announces new work to the delivery


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to be queued. Two drafts with the same `dedupe_key` make one message."""

    channel: str
    template: str
    version: int
    locale: str
    recipient: str
    content: Rendered
    recipient_name: str = ""
    user_id: str | None = None
    dedupe_key: str | None = None
    requested_by: str = ""
    traceparent: str | None = None
    test: bool = False  # to a test account


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message. `status`: queued, sending, sent or failed."""

    id: str
    user_id: str | None
    channel: str
    template: str
    version: int
    locale: str
    recipient: str
    recipient_name: str
    content: Rendered
    status: str
    attempts: int
    due_at: datetime
    provider: str | None
    provider_id: str | None
    reason: str | None
    requested_by: str
    traceparent: str | None
    created_at: datetime
    updated_at: datetime
    test: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry of a message's timeline."""

    at: datetime
    event: str
    detail: str


async def enqueue(connection: Connection, draft: Draft) -> str | None:
    """Queue a message and return its id; None when its `dedupe_key` already exists."""
    message: str | None = await connection.fetchval(
        """INSERT INTO messages (id, dedupe_key, user_id, channel, template, version, locale, recipient, recipient_name,
               subject, body, html, requested_by, traceparent, test)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
           ON CONFLICT (dedupe_key) DO NOTHING RETURNING id""",
        *(str(uuid7()), draft.dedupe_key, draft.user_id, draft.channel, draft.template, draft.version, draft.locale),
        *(draft.recipient, draft.recipient_name, draft.content.subject, draft.content.text, draft.content.html),
        *(draft.requested_by, draft.traceparent, draft.test),
    )
    if message:
        await note(connection, message, "queued", f"template {draft.template} {draft.locale} version {draft.version}")
        await connection.execute("SELECT pg_notify($1, '')", NEWS)
    return message


async def claim(connection: Connection, limit: int) -> list[Message]:
    """Claim messages that are due, or whose worker died; each goes to one worker only."""
    rows = await connection.fetch(
        """UPDATE messages SET status = 'sending', attempts = attempts + 1, due_at = now() + $2, updated_at = now()
           WHERE id IN (SELECT id FROM messages WHERE status IN ('queued', 'sending') AND due_at <= now()
                        ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING *""",
        *(limit, CLAIM),
    )
    return [_of(row) for row in rows]


async def next_due(connection: Connection) -> float | None:
    """Seconds until a message is due; None when nothing waits."""
    seconds = await connection.fetchval(
        """SELECT extract(epoch FROM min(due_at) - now()) FROM messages WHERE status IN ('queued', 'sending')"""
    )
    return None if seconds is None else float(seconds)


async def finish(
    connection: Connection,
    message: Message,
    *,
    provider: str,
    provider_id: str | None = None,
    reason: str | None = None,
) -> bool:
    """Close a message as sent, or (with a reason) failed. False when another worker has taken it over."""
    status = "failed" if reason else "sent"
    done = await connection.fetchval(
        """UPDATE messages SET status = $3, provider = $4, provider_id = $5, reason = $6, updated_at = now()
           WHERE id = $1 AND attempts = $2 AND status = 'sending' RETURNING true""",
        *(message.id, message.attempts, status, provider, provider_id, reason),
    )
    if done:
        await note(connection, message.id, status, reason or f"by {provider} as {provider_id}")
    return bool(done)


async def postpone(connection: Connection, message: Message, seconds: float, reason: str) -> None:
    """Return a message to the queue for `seconds`."""
    done = await connection.fetchval(
        """UPDATE messages SET status = 'queued', due_at = now() + $3, reason = $4, updated_at = now()
           WHERE id = $1 AND attempts = $2 AND status = 'sending' RETURNING true""",
        *(message.id, message.attempts, timedelta(seconds=seconds), reason),
    )
    if done:
        await note(connection, message.id, "postponed", f"again in {seconds:.1f} s: {reason}")


async def requeue(connection: Connection, message: str) -> bool:
    """Start a failed message again from its first attempt; False when it has not failed."""
    done = await connection.fetchval(
        """UPDATE messages SET status = 'queued', attempts = 0, due_at = now(), reason = NULL, updated_at = now()
           WHERE id = $1 AND status = 'failed' RETURNING true""",
        message,
    )
    if done:
        await note(connection, message, "requeued", "")
        await connection.execute("SELECT pg_notify($1, '')", NEWS)
    return bool(done)


async def get(connection: Connection, message: str) -> Message | None:
    """Return one message."""
    row = await connection.fetchrow("SELECT * FROM messages WHERE id = $1", message)
    return _of(row) if row else None


async def timeline(connection: Connection, message: str) -> list[Moment]:
    """List what happened to a message, oldest first."""
    rows = await connection.fetch(
        "SELECT at, event, detail FROM timeline WHERE message_id = $1 ORDER BY position", message
    )
    return [Moment(row["at"], row["event"], row["detail"]) for row in rows]


async def page(
    connection: Connection,
    before: tuple[datetime, str] | None,
    limit: int,
    *,
    visible_to: str | None = None,
    status: str | None = None,
    channel: str | None = None,
    test: bool = False,
) -> list[Message]:
    """List messages, newest first. `visible_to` limits them to those of one user, or of one client; else they are those
    to people or, with `test`, those to test accounts.
    """
    rows = await connection.fetch(
        """SELECT * FROM messages
           WHERE ($1::timestamptz IS NULL OR (created_at, id) < ($1, $2))
             AND (user_id = $4 OR requested_by = $4 OR $4::text IS NULL AND test = $7)
             AND ($5::text IS NULL OR status = $5) AND ($6::text IS NULL OR channel = $6)
           ORDER BY created_at DESC, id DESC LIMIT $3""",
        *(before[0] if before else None, before[1] if before else None, limit, visible_to, status, channel, test),
    )
    return [_of(row) for row in rows]


async def erase(connection: Connection, user_id: str) -> None:
    """Erase what identifies a deleted user; what was not sent yet is never sent."""
    await connection.execute(
        """UPDATE messages SET recipient = $2, recipient_name = '', subject = $2, body = $2, html = '',
           updated_at = now(),
           reason = CASE WHEN status IN ('queued', 'sending') THEN 'the user was deleted' ELSE reason END,
           status = CASE WHEN status IN ('queued', 'sending') THEN 'failed' ELSE status END WHERE user_id = $1""",
        *(user_id, REDACTED),
    )


async def remove_tests(connection: Connection, user_id: str) -> None:
    """Remove the messages to a test account, with what was recorded of them."""
    mine = "SELECT id FROM messages WHERE user_id = $1 AND test"
    await connection.execute(f"DELETE FROM recorded WHERE id IN ({mine})", user_id)  # noqa: S608 - a constant
    await connection.execute(f"DELETE FROM messages WHERE id IN ({mine})", user_id)  # noqa: S608 - likewise


async def note(connection: Connection, message: str, event: str, detail: str) -> None:
    """Add to a message's timeline."""
    await connection.execute(
        "INSERT INTO timeline (message_id, event, detail) VALUES ($1, $2, $3)", message, event, detail
    )


def _of(row: Record) -> Message:
    names = ("id", "user_id", "channel", "template", "version", "locale", "recipient", "recipient_name", "status")
    more = ("attempts", "due_at", "provider", "provider_id", "reason", "requested_by", "traceparent", "test")
    plain = {name: row[name] for name in (*names, *more, "created_at", "updated_at")}
    return Message(content=Rendered(row["subject"], row["body"], row["html"]), **plain)
