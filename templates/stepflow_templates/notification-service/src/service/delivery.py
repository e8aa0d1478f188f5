"""The delivery: takes due messages from the queue, hands them to providers, and records the outcome of each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from asyncpg import Connection

from chassis.database import Database
from chassis.events import Event, Outbox
from chassis.metrics import counter
from chassis.telemetry import span
from service import messages
from service.messages import Message
from service.providers import Provider, RefusedError, UnavailableError
from service.retry import MAX_ATTEMPTS, delay

log = logging.getLogger(__name__)
BATCH = 8  # messages handed over at the same time
IDLE = 5.0  # seconds between polls, in case a notification is lost
DEADLINE = 45.0  # seconds for one hand-over, less than a claim lasts


class Delivery:
    """Works through the queue. Several instances may do so at once: each message is claimed by one."""

    def __init__(self, database: Database, providers: Mapping[str, Provider]) -> None:
        """Keep the provider of each channel."""
        self._database = database
        self._providers = providers
        self._count = counter("notifications_deliveries_total", "Hand-overs to providers.", ("channel", "outcome"))

    async def run(self) -> None:
        """Deliver until cancelled; raises what the database raises, to be restarted."""
        work = asyncio.Event()

        def on_notify(*_: object) -> None:
            work.set()

        async with self._database.acquire() as connection:
            await connection.add_listener(messages.NEWS, on_notify)
            try:
                while True:
                    work.clear()
                    async with connection.transaction():
                        claimed = await messages.claim(connection, BATCH)
                    await asyncio.gather(*(self._deliver(message) for message in claimed))
                    if not claimed:
                        await _wait(work, await messages.next_due(connection))
            finally:
                if not connection.is_closed():
                    await connection.remove_listener(messages.NEWS, on_notify)

    async def _deliver(self, message: Message) -> None:
        with span(f"deliver {message.channel}", "producer", parent=message.traceparent or {}) as opened:
            opened.set_attribute("notification.id", message.id)
            provider = self._providers.get(message.channel)
            try:
                provider_id = await _hand_over(message, provider)
            except RefusedError as error:
                await self._close(message, provider, reason=str(error))
            except (UnavailableError, TimeoutError) as error:
                reason = str(error) or f"no answer in {DEADLINE:.0f} s"
                if message.attempts >= MAX_ATTEMPTS:
                    await self._close(message, provider, reason=f"given up after {message.attempts} attempts: {reason}")
                else:
                    await self._postpone(message, reason)
            else:
                await self._close(message, provider, provider_id=provider_id)

    async def _postpone(self, message: Message, reason: str) -> None:
        seconds = delay(message.attempts)
        self._counted(message, "postponed")
        log.warning("message %s postponed for %.1f s: %s", message.id, seconds, reason)
        async with self._database.transaction() as connection:
            await messages.postpone(connection, message, seconds, reason)

    async def _close(
        self, message: Message, provider: Provider | None, *, provider_id: str | None = None, reason: str | None = None
    ) -> None:
        name = provider.name if provider else "none"
        self._counted(message, "failed" if reason else "sent")
        async with self._database.transaction() as connection:
            if await messages.finish(connection, message, provider=name, provider_id=provider_id, reason=reason):
                await self._tell(connection, message, name, reason)
        if reason:
            log.warning("message %s failed: %s", message.id, reason)

    def _counted(self, message: Message, outcome: str) -> None:
        if not message.test:
            self._count.labels(message.channel, outcome).inc()

    async def _tell(self, connection: Connection, message: Message, provider: str, reason: str | None) -> None:
        data = {
            "notification_id": message.id,
            "user_id": message.user_id,
            "channel": message.channel,
            "template": message.template,
            "to": message.recipient,
            "provider": provider,
        }
        outcome = "failed" if reason else "sent"
        if reason:
            data["reason"] = reason
        await Outbox.put(connection, Event(f"notifications.v1.{outcome}", message.id, data, test=message.test))


async def _hand_over(message: Message, provider: Provider | None) -> str:
    if provider is None:
        raise RefusedError(f"the channel `{message.channel}` is switched off")
    if message.attempts > MAX_ATTEMPTS:
        raise RefusedError(f"given up: no attempt of {MAX_ATTEMPTS} came to an end")
    return await asyncio.wait_for(provider.deliver(message), DEADLINE)


async def _wait(work: asyncio.Event, due: float | None) -> None:
    pause = IDLE if due is None else max(0.02, min(IDLE, due))
    try:
        await asyncio.wait_for(work.wait(), pause)
    except TimeoutError:
        return
