"""The queue and the providers: who gets a message, what a dead worker leaves behind, what an SMTP server may answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from conftest import Sink
from pydantic import SecretStr

from chassis.database import Database
from chassis.testing.servers import free_port
from service import messages
from service.messages import Draft, Message
from service.mime import sender
from service.providers import RefusedError, UnavailableError
from service.providers.smtp import Server, SmtpProvider
from service.rendering import Rendered

MIGRATIONS = Path(__file__).parents[1] / "src" / "service" / "migrations"
FROM = sender("Shop <no-reply@shop.example>")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(SecretStr(database_url), MIGRATIONS)
    await opened.open()
    yield opened
    await opened.close()


async def queue(database: Database, count: int = 1, to: str = "ann@example.org") -> None:
    content = Rendered("Hello", "Hello", "<p>Hello</p>")
    async with database.transaction() as connection:
        for _ in range(count):
            await messages.enqueue(connection, Draft("email", "welcome", 1, "en", to, content))


async def claim(database: Database, limit: int = 100) -> list[Message]:
    async with database.transaction() as connection:
        return await messages.claim(connection, limit)


async def test_workers_that_claim_at_once_never_get_the_same_message(database: Database) -> None:
    await queue(database, 40)
    batches = await asyncio.gather(*(claim(database, 10) for _ in range(5)))
    claimed = [message.id for batch in batches for message in batch]
    assert len(claimed) == len(set(claimed))
    rest = [message.id for message in await claim(database)]
    assert len({*claimed, *rest}) == len(claimed) + len(rest) == 40


async def test_a_dead_workers_message_is_taken_over_and_the_dead_cannot_close_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue(database)
    monkeypatch.setattr(messages, "CLAIM", timedelta(0))
    (first,) = await claim(database)
    (second,) = await claim(database)
    assert (second.id, first.attempts, second.attempts) == (first.id, 1, 2)
    async with database.transaction() as connection:
        assert not await messages.finish(connection, first, provider="smtp", provider_id="late")
        assert await messages.finish(connection, second, provider="smtp", provider_id="x")
        assert not await messages.finish(connection, second, provider="smtp", provider_id="x")
    assert await claim(database) == []


async def test_one_dedupe_key_makes_one_message(database: Database) -> None:
    draft = Draft("email", "welcome", 1, "en", "a@example.org", Rendered("s", "t", ""), dedupe_key="event-1/welcome")

    async def enqueue() -> str | None:
        async with database.transaction() as connection:
            return await messages.enqueue(connection, draft)

    made = await asyncio.gather(*(enqueue() for _ in range(5)))
    assert sum(message is not None for message in made) == 1


class Answering:
    """An SMTP server with scripted answers."""

    def __init__(self, recipient: str = "250 ok", data: str = "250 ok") -> None:
        self.recipient, self.data = recipient, data

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name and arguments
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, session, options
        envelope.rcpt_tos.append(address)
        return self.recipient

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - likewise
        del server, session, envelope
        return self.data


@asynccontextmanager
async def answering(answers: Answering) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(answers, hostname="t"), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def one(database: Database, to: str = "ann@example.org") -> Message:
    await queue(database, to=to)
    (message,) = await claim(database)
    return message


@pytest.mark.parametrize(
    ("answers", "error", "says"),
    [
        (Answering(recipient="550 5.1.1 no such user"), RefusedError, "550 5.1.1 no such user"),
        (Answering(recipient="450 4.2.1 mailbox busy"), UnavailableError, "450 4.2.1 mailbox busy"),
        (Answering(data="554 5.7.1 looks like spam"), RefusedError, "554 5.7.1 looks like spam"),
        (Answering(data="451 4.3.0 try later"), UnavailableError, "451 4.3.0 try later"),
    ],
)
async def test_final_answers_of_a_server_fail_a_message_and_others_postpone_it(
    database: Database, answers: Answering, error: type[Exception], says: str
) -> None:
    message = await one(database)
    async with answering(answers) as port:
        with pytest.raises(error) as caught:
            await SmtpProvider(Server("127.0.0.1", port), FROM, real=True).deliver(message)
    assert str(caught.value) == says


async def test_a_server_that_is_not_there_or_speaks_no_tls_postpones(database: Database, sink: Sink) -> None:
    message = await one(database)
    nobody = free_port()
    with pytest.raises(UnavailableError, match=rf"^SMTP server 127\.0\.0\.1:{nobody}: "):
        await SmtpProvider(Server("127.0.0.1", nobody), FROM, real=True).deliver(message)
    with pytest.raises(UnavailableError, match="STARTTLS extension not supported by server"):
        await SmtpProvider(Server("127.0.0.1", sink.port, tls="starttls"), FROM, real=True).deliver(message)
    assert await sink.mails() == []


async def test_a_mail_that_is_handed_over_twice_is_one_in_the_sink(database: Database, sink: Sink) -> None:
    message = await one(database)
    provider = SmtpProvider(Server("127.0.0.1", sink.port), FROM, real=False)
    first, second = await provider.deliver(message), await provider.deliver(message)
    assert first == second == f"<{message.id}@shop.example>"
    assert len(await sink.mails()) == 1
    assert "stay in the platform's own mailbox" in provider.note


async def test_an_address_that_went_bad_is_refused_not_retried(database: Database) -> None:
    message = await one(database, to="(erased)")
    with pytest.raises(RefusedError, match="`\\(erased\\)` is not an e-mail address"):
        await SmtpProvider(Server("127.0.0.1", 1), FROM, real=True).deliver(message)
