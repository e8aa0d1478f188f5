"""`python -m service.mailbox`: run the mail sink."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI

from chassis.app import Service, serve
from chassis.settings import load
from service.mailbox import api, smtp
from service.mailbox.settings import MailboxSettings
from service.mailbox.store import MailStore


def build(settings: MailboxSettings) -> FastAPI:
    """Assemble the sink; nothing starts yet."""
    service = Service(
        settings,
        title="Mailbox",
        version="1.0.0",
        summary="Every mail of the platform, kept instead of sent.",
        routes=("/mailbox",),
        public=("GET /mailbox", "GET /mailbox/"),
        meta={"ui": "/mailbox", "title": "Mailbox", "about": "Every mail that the platform sent, kept here"},
    )
    store = MailStore(settings.mailbox_dir / "mails.sqlite", settings.keep)
    servers: list[asyncio.Server] = []

    async def listen() -> None:
        servers.append(await smtp.listen(store, settings.host, settings.smtp_port))

    async def close() -> None:
        for server in servers:
            server.close()

    async def listening() -> None:
        if not any(server.is_serving() for server in servers):
            raise ConnectionError(f"not listening on port {settings.smtp_port}")

    service.on_start(listen)
    service.on_stop(close)
    service.ready_check("smtp", listening)
    app = service.app(api.pages, api.router)
    app.state.mails = store
    app.state.smtp = servers
    return app


def main() -> None:
    """Read the environment and serve."""
    settings = load(MailboxSettings)
    serve(build(settings), settings)


if __name__ == "__main__":
    main()
