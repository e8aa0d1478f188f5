"""PostgreSQL's LISTEN/NOTIFY as wake-ups for tasks of this process. Only a hint: all of them poll as well."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from chassis.database import Database

LOST = "the listening connection to PostgreSQL was lost"
EVENTS, PROJECTED, SAGAS = CHANNELS = ("events", "projected", "sagas")


class Wake:
    """Set when there was a notification on a channel since the last `clear`."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake the waiter."""
        self._event.set()

    def clear(self) -> None:
        """Reset: call it before looking, so that nothing is missed after the look."""
        self._event.clear()

    async def wait(self, seconds: float) -> None:
        """Wait until woken, but no longer than this."""
        try:
            await asyncio.wait_for(self._event.wait(), max(seconds, 0.001))
        except TimeoutError:
            return


class Signals:
    """One listening connection, and its waiters."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, set[Wake]] = defaultdict(set)

    @contextmanager
    def on(self, channel: str) -> Iterator[Wake]:
        """Subscribe to a channel for the duration of the block."""
        wake = Wake()
        self._waiting[channel].add(wake)
        try:
            yield wake
        finally:
            self._waiting[channel].discard(wake)

    async def run(self) -> None:
        """Listen until cancelled; raises `ConnectionError` when the connection is lost, to be restarted."""
        try:
            async with self._database.acquire() as connection:
                await self._listen(connection)
        except (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InterfaceError) as error:
            raise ConnectionError(LOST) from error
        raise ConnectionError(LOST)

    async def _listen(self, connection: asyncpg.Connection) -> None:
        """Receive notifications until the connection is lost."""
        lost = asyncio.Event()

        def on_lost(*_: object) -> None:
            lost.set()

        connection.add_termination_listener(on_lost)
        try:
            for channel in CHANNELS:
                await connection.add_listener(channel, self._heard)
            for wake in (wake for waiting in self._waiting.values() for wake in waiting):
                wake.set()  # what was sent before we listened
            await lost.wait()
        finally:
            if not connection.is_closed():  # asyncpg discards a lost connection with its listeners
                connection.remove_termination_listener(on_lost)
                for channel in CHANNELS:
                    await connection.remove_listener(channel, self._heard)

    def _heard(self, _connection: object, _pid: int, channel: str, _payload: str) -> None:
        for wake in self._waiting[channel]:
            wake.set()
