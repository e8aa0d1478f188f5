"""Real NATS and PostgreSQL for the tests, and a real SMTP server: the service's own sink."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.mailbox.smtp import listen
from service.mailbox.store import Kept, MailStore

pytest_plugins = ["chassis.testing"]


@dataclass(frozen=True)
class Sink:
    """A running SMTP server and what it got."""

    port: int
    store: MailStore

    async def mails(self, to: str | None = None) -> list[Kept]:
        return self.store.page("~", 100, to)


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[Sink]:
    store = MailStore(tmp_path / "mails.sqlite", 1000)
    server = await listen(store, "127.0.0.1", 0)
    yield Sink(server.sockets[0].getsockname()[1], store)
    server.close()
    await server.wait_closed()
