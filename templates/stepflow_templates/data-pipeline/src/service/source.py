"""Reading a stream in order from a position on, whatever happens to the connection.

The position lives in the warehouse, so the consumer needs no memory of its own: it is an ordered, unacknowledged one
that is recreated after the last loaded event following a restart, a reconnect, or a gap.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamInfo
from nats.js.errors import NotFoundError

from chassis.bus import Bus
from service.loading import Arrived, Position

log = logging.getLogger(__name__)
BATCH = 500  # messages
WAIT = 2.0  # seconds for the first message of a batch


class LostError(Exception):
    """The consumer is gone or skipped a message: read again from the position."""


async def where_to_begin(bus: Bus, stream: str, known: Position | None) -> Position:
    """Return the known position, or the beginning of a stream that is new or was recreated."""
    await bus.ensure_stream(stream)
    info = await (await bus.jetstream()).stream_info(stream)
    created = str(info.created)
    if known and known.created == created and known.sequence <= info.state.last_seq:
        return known
    if known:
        log.warning("stream %s was recreated: reading it from its beginning", stream)
    return Position(stream, created, 0)


async def batches(bus: Bus, start: Position) -> AsyncIterator[list[Arrived]]:
    """Read messages after a position, in order and without gaps; an empty batch means there is nothing new.

    Raises `LostError` when it cannot continue; start again from what is loaded by then.
    """
    generation = bus.generation
    js = await bus.jetstream()
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=start.sequence + 1,
        inactive_threshold=60.0,
        mem_storage=True,
    )
    info = await js.add_consumer(start.stream, config)
    subscription = await js.pull_subscribe_bind(consumer=info.name, stream=start.stream)
    expected = 1
    try:
        while True:
            try:
                messages = await subscription.fetch(BATCH, timeout=WAIT)
            except NatsTimeoutError:
                messages = []
            for message in messages:
                if message.metadata.sequence.consumer != expected:
                    raise LostError(f"message {expected} of the consumer of {start.stream} is missing")
                expected += 1
            yield [Arrived(m.metadata.sequence.stream, m.subject, m.data) for m in messages]
            if bus.generation != generation or not (messages or await _exists(js, start.stream, info.name)):
                raise LostError(f"the consumer of {start.stream} is gone")
    finally:
        await subscription.unsubscribe()


async def state(bus: Bus, stream: str) -> StreamInfo | None:
    """Return a stream's state; None when it does not exist."""
    try:
        return await (await bus.jetstream()).stream_info(stream)
    except NotFoundError:
        return None


async def waiting_since(bus: Bus, stream: str, after: int) -> datetime | None:
    """Return when the first message after a position arrived; None when there is none."""
    js = await bus.jetstream()
    try:
        message = await js.get_msg(stream, seq=after + 1, next=True)
    except NotFoundError:
        return None
    return message.time.astimezone(UTC) if message.time else None


async def _exists(js: JetStreamContext, stream: str, consumer: str) -> bool:
    try:
        await js.consumer_info(stream, consumer)
    except NotFoundError:
        return False
    return True
