"""The mails, in SQLite. A mail whose Message-ID is already stored for the same recipients is the same mail."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from chassis.ids import uuid7
from service.mime import TEST_HEADER
from service.text import clean

FORGOTTEN = timedelta(days=1)  # after which a mail to a test account is removed
TABLES = """
CREATE TABLE IF NOT EXISTS mails (id TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, sender TEXT NOT NULL,
    subject TEXT NOT NULL, received_at TEXT NOT NULL, raw BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS recipients (mail TEXT NOT NULL REFERENCES mails ON DELETE CASCADE, address TEXT NOT NULL,
    PRIMARY KEY (mail, address));
CREATE INDEX IF NOT EXISTS recipients_address ON recipients (address, mail);
"""
TEST = "ALTER TABLE mails ADD COLUMN test INTEGER NOT NULL DEFAULT 0"
LIST = """SELECT id, sender, subject, received_at, length(raw),
    (SELECT group_concat(address, char(10)) FROM recipients WHERE mail = id) FROM mails"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A mail as it is listed: the envelope's addresses, its subject, when it arrived, its size in bytes."""

    id: str
    sender: str
    subject: str
    received_at: str
    size: int
    to: tuple[str, ...]


class MailStore:
    """A file of mails; every method opens its own connection, so any thread may call any of them."""

    def __init__(self, path: Path, keep: int) -> None:
        """Create the file unless it exists; `keep` is how many mails are kept."""
        self._path = path
        self._keep = keep
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(TABLES)
            if "test" not in {column for _, column, *_ in connection.execute("PRAGMA table_info(mails)")}:
                connection.execute(TEST)

    def add(self, sender: str, recipients: Sequence[str], raw: bytes) -> str:
        """Store a mail durably and return its id; the existing id when it is already stored."""
        mail = parse(raw)
        addresses = sorted({clean(address).lower() for address in recipients})
        identity = header(mail, "Message-ID").encode("utf-8", "replace") or raw
        digest = hashlib.sha256("\n".join(addresses).encode() + b"\0" + identity).hexdigest()
        now = datetime.now(UTC)
        test = header(mail, TEST_HEADER) == "true"
        values = (str(uuid7()), digest, clean(sender), header(mail, "Subject"), _written(now), raw, test)
        with self._open() as connection:
            added = connection.execute(
                "INSERT INTO mails (id, digest, sender, subject, received_at, raw, test)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
                values,
            ).fetchone()
            if added is None:
                return str(connection.execute("SELECT id FROM mails WHERE digest = ?", (digest,)).fetchone()[0])
            connection.executemany("INSERT INTO recipients VALUES (?, ?)", [(added[0], each) for each in addresses])
            oldest = (
                "DELETE FROM mails WHERE id IN (SELECT id FROM mails WHERE NOT test ORDER BY id DESC LIMIT -1 OFFSET ?)"
            )
            connection.execute(oldest, (self._keep,))
            connection.execute("DELETE FROM mails WHERE test AND received_at < ?", (_written(now - FORGOTTEN),))
            return str(added[0])

    def page(self, before: str, limit: int, to: str | None, *, test: bool = False) -> list[Kept]:
        """List mails with an id lower than `before`, newest first; optionally only those to one address.

        They are those to people or, with `test`, those to test accounts.
        """
        chosen = "id IN (SELECT mail FROM recipients WHERE address = ?)" if to else "? IS NULL"
        with self._open() as connection:
            rows = connection.execute(
                f"{LIST} WHERE id < ? AND {chosen} AND test = ? ORDER BY id DESC LIMIT ?",
                (before, to.lower() if to else None, test, limit),
            ).fetchall()
        return [_kept(row) for row in rows]

    def get(self, mail: str) -> tuple[Kept, bytes] | None:
        """Return a mail and its bytes."""
        with self._open() as connection:
            row = connection.execute(f"{LIST} WHERE id = ?", (mail,)).fetchone()
            if row is None:
                return None
            (raw,) = connection.execute("SELECT raw FROM mails WHERE id = ?", (mail,)).fetchone()
        return _kept(row), raw

    def clear(self) -> int:
        """Remove all mails; returns how many they were, without those to test accounts."""
        with self._open() as connection:
            connection.execute("DELETE FROM mails WHERE test")
            return connection.execute("DELETE FROM mails").rowcount

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")  # a mail that was accepted survives a power cut
            yield connection


def _written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse(raw: bytes) -> EmailMessage:
    """Read a mail; malformed parts are read as far as possible."""
    mail = message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


def header(mail: EmailMessage, name: str) -> str:
    """Return a header's text, empty where it is missing or cannot be read."""
    try:
        return clean(str(mail.get(name, "")))
    except (ValueError, LookupError, IndexError, AttributeError):  # what the parser raises for hostile headers
        return ""


def body(mail: EmailMessage, kind: str) -> str:
    """Return the text of the `plain` or `html` part, empty where there is none or it cannot be decoded."""
    try:
        part = mail.get_body((kind,))
        return clean(str(part.get_content())) if part is not None else ""
    except (LookupError, ValueError, AttributeError):
        return ""


def _kept(row: tuple[str, str, str, str, int, str | None]) -> Kept:
    mail, sender, subject, received_at, size, to = row
    return Kept(mail, sender, subject, received_at, size, tuple((to or "").splitlines()))
