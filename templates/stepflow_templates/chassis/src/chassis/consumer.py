"""Consumers: durable, in order, exactly once in effect, retried with back-off, then moved to the dead letters.

With a database, the event's id is written to the inbox in the handler's transaction: a repetition is found there and
skipped. Without one, the handler has to detect repetitions itself.

Events of test accounts reach only a handler that asks for them (`tests`), which treats them apart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import cast

import asyncpg
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from chassis.bus import Bus
from chassis.database import Database
from chassis.events.event import Event, Reject
from chassis.metrics import counter
from chassis.telemetry import span

log = logging.getLogger(__name__)
InTransaction = Callable[[asyncpg.Connection, Event], Awaitable[None]]
Alone = Callable[[Event], Awaitable[None]]
AnyHandler = InTransaction | Alone

ATTEMPTS = 5
BACK_OFF = (0.2, 0.5, 1.0, 2.0)  # seconds before the second attempt, the third …
ACK_WAIT = 5.0  # seconds after which an event goes to another replica, if this one no longer reports progress
FETCH = 5.0  # seconds that one request for messages waits

CONSUMED = counter("events_consumed_total", "Events, by outcome.", ("consumer", "type", "outcome"))


@dataclass(frozen=True, slots=True)
class Consumer:
    """One durable consumer. All replicas of a service share it; one event is handled at a time, so order is kept."""

    bus: Bus
    service: str
    stream: str
    durable: str
    types: tuple[str, ...]
    handler: AnyHandler
    database: Database | None
    tests: bool = False

    async def run(self) -> None:
        """Consume until cancelled; raises what the bus raises, to be restarted."""
        await self.bus.ensure_stream(self.stream)
        js = await self.bus.jetstream()
        await self._ensure(js)
        subscription = await js.pull_subscribe_bind(self.durable, stream=self.stream)
        generation = self.bus.generation
        try:
            while generation == self.bus.generation:
                try:
                    messages = await subscription.fetch(1, timeout=FETCH)
                except TimeoutError:
                    continue
                for message in messages:
                    await self._receive(message)
        finally:
            if self.bus.connected:
                await subscription.unsubscribe()
        raise ConnectionError("the connection to NATS was renewed")

    async def _ensure(self, js: JetStreamContext) -> None:
        config = ConsumerConfig(
            durable_name=self.durable,
            filter_subjects=list(self.types),
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT,
            max_ack_pending=1,
        )
        try:
            info = await js.consumer_info(self.stream, self.durable)
        except NotFoundError:
            await js.add_consumer(self.stream, config)
        else:
            known = info.config.filter_subjects or [info.config.filter_subject or ""]
            if sorted(known) != sorted(self.types) or info.config.ack_wait != ACK_WAIT:
                await js.add_consumer(self.stream, config)  # the same durable: an update

    async def _receive(self, message: Msg) -> None:
        attempt = message.metadata.num_delivered or 1
        if attempt > ATTEMPTS:  # the process died, or was killed, each time
            await self._bury(message, f"{ATTEMPTS} attempts ended without an answer", ATTEMPTS)
            return
        try:
            event = Event.decode(message.data)
            async with _held(message):
                outcome = await self.handle(event)
        except Reject as error:
            await self._bury(message, error.reason, attempt)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, the event is retried
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            if attempt >= ATTEMPTS:
                await self._bury(message, reason, attempt)
                return
            log.warning("`%s` failed on attempt %d: %s", self.durable, attempt, reason)
            CONSUMED.labels(self.durable, message.subject, "retried").inc()
            await message.nak(BACK_OFF[min(attempt, len(BACK_OFF)) - 1])
        else:
            CONSUMED.labels(self.durable, event.type, outcome).inc()
            await message.ack()

    async def handle(self, event: Event) -> str:
        """Handle an event: `handled`, `repeated` when the inbox knows it, or `test` when it is one that the handler did
        not ask for. Raises what the handler raises.
        """
        if event.test and not self.tests:
            return "test"
        attributes = {
            "messaging.system": "nats",
            "messaging.destination.name": event.type,
            "messaging.message.id": event.id,
            "messaging.consumer.group.name": self.durable,
        }
        with span(f"process {event.type}", "consumer", parent=event.traceparent, attributes=attributes):
            if self.database is None:
                await cast("Alone", self.handler)(event)
                return "handled"
            async with self.database.transaction() as connection:
                fresh = await connection.fetchval(
                    "INSERT INTO inbox (consumer, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true",
                    self.durable,
                    event.id,
                )
                if not fresh:
                    return "repeated"
                await cast("InTransaction", self.handler)(connection, event)
            return "handled"

    async def _bury(self, message: Msg, reason: str, attempts: int) -> None:
        """Move an event to the dead letters, then tell the stream not to deliver it again."""
        log.error("`%s` gave up `%s`: %s", self.durable, message.subject, reason)
        CONSUMED.labels(self.durable, message.subject, "dead").inc()
        sequence = message.metadata.sequence.stream
        headers: dict[str, str] = {
            "Dead-Reason": " ".join(reason.split())[:500],
            "Dead-Consumer": self.durable,
            "Dead-Stream": self.stream,
            "Dead-Type": message.subject,
            "Dead-Attempts": str(attempts),
        }
        await self.bus.ensure_stream("dead")
        await self.bus.publish(
            f"dead.{self.service}.{message.subject}",
            message.data,
            message_id=f"{self.durable}:{self.stream}:{sequence}",
            headers=headers,
        )
        await message.term()


@asynccontextmanager
async def _held(message: Msg) -> AsyncIterator[None]:
    """Report progress to the stream regularly, so that only a dead replica's message goes to another replica."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(ACK_WAIT / 3)
            with suppress(NatsError):
                await message.in_progress()

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
