"""E-mail over SMTP (RFC 5321), with STARTTLS or implicit TLS and a login where they are configured."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address

from pydantic import SecretStr

from service.messages import Message
from service.mime import address, compose
from service.providers import RefusedError, UnavailableError

PERMANENT = 500  # SMTP reply codes from here on are final (RFC 5321 4.2.1)


@dataclass(frozen=True, slots=True)
class Server:
    """An SMTP server. `tls`: `none`, `starttls` or `tls`; `timeout` in seconds for each step of the dialogue."""

    host: str
    port: int
    tls: str = "none"
    user: str = ""
    password: SecretStr | None = None
    timeout: float = 10.0


class SmtpProvider:
    """Sends each message in a thread of its own connection; the standard library's client is blocking."""

    name = "smtp"

    def __init__(self, server: Server, sender: Address, *, real: bool) -> None:
        """Keep the server and the sender; `real` is false for the platform's own mail sink."""
        self._server = server
        self._sender = sender
        self.real = real
        where = f"{server.host}:{server.port}"
        sink = f"no SMTP server is configured: mails stay in the platform's own mailbox at {where}"
        self.note = f"mails go to the SMTP server {where}" if real else sink

    async def deliver(self, message: Message) -> str:
        """Send a mail; returns its Message-ID."""
        return await asyncio.to_thread(self._send, message)

    def _send(self, message: Message) -> str:
        try:
            recipient = address(message.recipient, message.recipient_name)
            mail = compose(message.id, self._sender, recipient, message.content, message.created_at, test=message.test)
        except (ValueError, MessageError) as error:
            raise RefusedError(str(error)) from None
        try:
            with self._connect() as connection:
                connection.send_message(mail, self._sender.addr_spec, [recipient.addr_spec])
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise _failure(code, text) from None
        except smtplib.SMTPNotSupportedError as error:
            raise RefusedError(str(error)) from None
        except smtplib.SMTPAuthenticationError as error:
            raise UnavailableError(f"sign-in refused: {error.smtp_code}") from None
        except smtplib.SMTPResponseException as error:
            raise _failure(error.smtp_code, error.smtp_error) from None
        except (smtplib.SMTPException, OSError) as error:
            where = f"{self._server.host}:{self._server.port}"
            raise UnavailableError(f"SMTP server {where}: {error or type(error).__name__}") from None
        return str(mail["Message-ID"])

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        greeting = self._sender.domain  # resolving our own name can take seconds
        if server.tls == "tls":
            context, timeout = ssl.create_default_context(), server.timeout
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, greeting, timeout=timeout, context=context
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, greeting, server.timeout)
        try:
            if server.tls == "starttls":
                connection.starttls(context=ssl.create_default_context())
            if server.user and server.password:
                connection.login(server.user, server.password.get_secret_value())
        except smtplib.SMTPNotSupportedError as error:  # a configuration error, not a fault of this message
            connection.close()
            raise UnavailableError(f"SMTP server {server.host}:{server.port}: {error}") from None
        except BaseException:
            connection.close()
            raise
        return connection


def _failure(code: int, text: bytes | str) -> Exception:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    kind = RefusedError if code >= PERMANENT else UnavailableError
    return kind(f"{code} {words}")
