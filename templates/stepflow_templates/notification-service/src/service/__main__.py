"""`python -m service`: run the notification service."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from fastapi import FastAPI

from chassis.app import Service, serve
from chassis.database import Database
from chassis.settings import load
from service import api, template_api, template_store
from service.composing import Composer
from service.delivery import Delivery
from service.mime import sender
from service.parts import Parts
from service.providers import Provider
from service.providers.sandbox import SandboxProvider
from service.providers.smtp import Server, SmtpProvider
from service.reactions import ORDERS, USERS, Reactions
from service.settings import NotificationSettings


def providers_of(settings: NotificationSettings, database: Database) -> dict[str, Provider]:
    """Choose the provider of each enabled channel."""
    server = Server(
        host=settings.smtp_host,
        port=settings.smtp_port,
        tls=settings.smtp_tls,
        user=settings.smtp_user,
        password=settings.smtp_password,
    )
    smtp = SmtpProvider(server, sender(settings.mail_from), real=not settings.smtp_sink)
    return {
        channel: smtp if channel == "email" else SandboxProvider(channel, database) for channel in settings.channels
    }


def build(settings: NotificationSettings) -> FastAPI:
    """Assemble the service; nothing starts yet."""
    service = Service(
        settings,
        title="Notifications",
        version="1.0.0",
        summary="E-mail, SMS and push messages from templates, delivered from a persisted queue.",
        routes=("/api/notifications",),
    )
    database = service.database(migrations=Path(__file__).parent / "migrations")
    composer = Composer(settings.channels, settings.locale)
    providers = providers_of(settings, database)
    reactions = Reactions(composer, timedelta(hours=settings.event_max_age_hours))

    async def seed() -> None:
        async with database.transaction() as connection:
            await template_store.seed(connection)

    service.on_start(seed)
    for stream, types, handler in (("users", USERS, reactions.on_user), ("orders", ORDERS, reactions.on_order)):
        service.consume(
            stream=stream,
            durable="notification-service",
            types=types,
            handler=handler,
            database=database,
            tests=True,
        )
    service.background("delivery", Delivery(database, providers).run)
    app = service.app(template_api.router, api.router)
    app.state.parts = Parts(database, composer, providers)
    return app


def main() -> None:
    """Read the environment and serve."""
    settings = load(NotificationSettings)
    serve(build(settings), settings)


if __name__ == "__main__":
    main()
