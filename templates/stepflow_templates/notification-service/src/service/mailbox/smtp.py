"""The sink's SMTP server: accepts mail for any address, keeps it, and answers 250 only when it is on disk."""

from __future__ import annotations

import asyncio
import logging
import sqlite3

from aiosmtpd.smtp import SMTP, Envelope, Session

from service.mailbox.store import MailStore

log = logging.getLogger(__name__)
MAX_MAIL = 10 * 1024 * 1024  # bytes


class Keeper:
    """The handler that aiosmtpd calls for each mail."""

    def __init__(self, store: MailStore) -> None:
        """Keep mails in `store`."""
        self._store = store

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Store a mail and answer the sender."""
        del server, session
        raw = envelope.original_content or b""
        try:
            kept = await asyncio.to_thread(self._store.add, envelope.mail_from or "", envelope.rcpt_tos, raw)
        except (OSError, sqlite3.Error) as error:
            log.warning("a mail could not be kept: %s", error)
            return "451 4.3.0 not kept, try again"
        log.info("mail %s kept", kept)
        return f"250 2.0.0 kept as {kept}"


async def listen(store: MailStore, host: str, port: int) -> asyncio.Server:
    """Start listening. Raises `OSError` when the port is taken."""

    def session() -> SMTP:
        return SMTP(
            Keeper(store),
            hostname="mail-sink",
            ident="stepflow mail sink",
            data_size_limit=MAX_MAIL,
            enable_SMTPUTF8=True,
        )

    return await asyncio.get_running_loop().create_server(session, host, port)
