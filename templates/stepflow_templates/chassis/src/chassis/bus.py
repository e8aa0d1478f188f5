"""The connection to NATS JetStream: waits, reconnects for ever, creates streams and buckets when first needed."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig, StorageType, StreamConfig
from nats.js.errors import BadRequestError, BucketNotFoundError, NoStreamResponseError, NotFoundError
from nats.js.kv import KeyValue
from pydantic import SecretStr

log = logging.getLogger(__name__)
DUPLICATE_WINDOW = 120.0  # seconds in which a `Nats-Msg-Id` counts as a repetition
RECONNECT_WAIT = (0.1, 2.0)  # seconds, shortest and longest
SAME_ERROR_EVERY = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of events, stored in files."""

    name: str
    subjects: tuple[str, ...]


STREAMS = {name: Stream(name, (f"{name}.>",)) for name in ("users", "orders", "notifications", "dead")}
BUCKETS = {
    "registry": KeyValueConfig(bucket="registry", limit_marker_ttl=5),
    "config": KeyValueConfig(bucket="config", history=5),
}


class Bus:
    """The event bus. `name` is how the server lists this client; `replicas` is the number of replicas of a stream."""

    def __init__(self, url: SecretStr, name: str, *, replicas: int = 1) -> None:
        self._url = url
        self._name = name
        self._replicas = replicas
        self._client = Client()
        self._up = asyncio.Event()
        self._last_error = ("", 0.0)
        self.generation = 0
        """Rises with each (re)connect: what belonged to the old connection may be gone."""

    @property
    def connected(self) -> bool:
        """Return whether the connection is up right now."""
        return self._client.is_connected

    async def connect(self) -> None:
        """Connect, however long the server takes to be available."""
        await self._client.connect(
            self._url.get_secret_value(),
            name=self._name,
            error_cb=self._on_error,
            disconnected_cb=self._on_down,
            reconnected_cb=self._on_up,
            closed_cb=self._on_down,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.25,  # type: ignore[arg-type]  # seconds; a float works as well
            reconnect_to_server_handler=_wait_before,
            connect_timeout=2,
            ping_interval=5,
        )
        await self._on_up()

    async def close(self) -> None:
        """Send what is buffered and disconnect."""
        if self._client.is_connected:
            await self._client.flush(timeout=2)
        if not self._client.is_closed:
            await self._client.close()

    async def jetstream(self) -> JetStreamContext:
        """Return JetStream as soon as there is a connection."""
        await self._up.wait()
        return self._client.jetstream()

    async def client(self) -> Client:
        """Return the core NATS client as soon as there is a connection."""
        await self._up.wait()
        return self._client

    async def ensure_stream(self, stream: Stream | str) -> None:
        """Create a stream unless it exists; a string names one of `STREAMS`."""
        wanted = STREAMS[stream] if isinstance(stream, str) else stream
        js = await self.jetstream()
        try:
            await js.stream_info(wanted.name)
        except NotFoundError:
            config = StreamConfig(
                name=wanted.name,
                subjects=list(wanted.subjects),
                storage=StorageType.FILE,
                duplicate_window=DUPLICATE_WINDOW,
                allow_direct=True,
                num_replicas=self._replicas,
            )
            try:
                await js.add_stream(config)
            except BadRequestError:  # another service has just created it
                await js.stream_info(wanted.name)

    async def key_value(self, bucket: str) -> KeyValue:
        """Return a KV bucket, created with the settings of `BUCKETS` (or the defaults) if it does not exist."""
        js = await self.jetstream()
        try:
            return await js.key_value(bucket)
        except BucketNotFoundError:
            config = BUCKETS.get(bucket) or KeyValueConfig(bucket=bucket)
            try:
                return await js.create_key_value(config.evolve(replicas=self._replicas))
            except BadRequestError:
                return await js.key_value(bucket)

    async def publish(self, subject: str, payload: bytes, *, message_id: str, headers: dict[str, str]) -> None:
        """Publish and wait until the stream has it. A `message_id` that the stream knows is stored only once."""
        js = await self.jetstream()
        sent: dict[str, Any] = {**headers, "Nats-Msg-Id": message_id}
        try:
            await js.publish(subject, payload, headers=sent)
        except NoStreamResponseError:
            await self.ensure_stream(subject.partition(".")[0])
            await js.publish(subject, payload, headers=sent)

    async def _on_up(self) -> None:
        self.generation += 1
        self._up.set()
        log.info("connected to NATS")

    async def _on_down(self) -> None:
        if self._up.is_set() and not self._client.is_closed:
            log.warning("lost the connection to NATS, reconnecting")
        self._up.clear()

    async def _on_error(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        known, when = self._last_error
        if text != known or time.monotonic() - when > SAME_ERROR_EVERY:
            self._last_error = (text, time.monotonic())
            log.warning("NATS at %s: %s", urlsplit(self._url.get_secret_value()).netloc.rpartition("@")[2], text)


def _wait_before(servers: list[Any], info: dict[str, Any]) -> tuple[Any, float]:
    """Choose the server to reconnect to, and how long to wait first: twice as long each time, with jitter."""
    del info
    shortest, longest = RECONNECT_WAIT
    server = min(servers, key=lambda one: one.reconnects)
    return server, min(longest, shortest * 2 ** min(server.reconnects, 10)) * random.uniform(0.5, 1)  # noqa: S311 - jitter
