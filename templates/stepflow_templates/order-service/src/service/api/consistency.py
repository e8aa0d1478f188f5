"""Read-your-writes: read models lag the events by some milliseconds, and a reader can state how fresh they must be.

Every write answers with a `Consistency-Token`. A read that sends it back as `If-Consistent-With` waits until the read
model contains that write. One that sends nothing gets the current state, with one promise: a 404 is never just lag.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header

from chassis.database import Database
from chassis.problem import Problem, declared
from service.storage import event_store, projections
from service.storage.signals import Signals

FRESHNESS_PROBLEMS: dict[int | str, dict[str, Any]] = {
    409: declared("`If-Consistent-With` is not a token of this service."),
    503: declared("The read model did not catch up in time; try again."),
}
RESPONSE_HEADER = "Consistency-Token"
Token = Annotated[
    int | None,
    Header(
        alias="If-Consistent-With", ge=0, le=2**62, description="A `Consistency-Token`: wait until that write is shown."
    ),
]


class Freshness:
    """Waits for read models."""

    def __init__(self, database: Database, signals: Signals, patience: float) -> None:
        """Keep what is waited on; `patience` in seconds."""
        self._database = database
        self._signals = signals
        self._patience = patience

    async def demand(self, projection: str, token: int | None) -> None:
        """Return when the read model contains the write of this token; 409 for an unknown token, 503 after too long."""
        if token is None:
            return
        if token > await self._head():
            detail = f"There is no write {token} yet: this is not a token of this service."
            raise Problem(409, "No such write", detail=detail)
        if not await self._wait(projection, token):
            detail = f"The read model does not contain write {token} yet."
            raise Problem(503, "Read model is behind", detail=detail, headers={"Retry-After": "1"})

    async def latest(self, projection: str) -> None:
        """Wait until the read model contains everything that is written by now, or patience is over."""
        await self._wait(projection, await self._head())

    async def _head(self) -> int:
        async with self._database.acquire() as connection:
            return await event_store.head(connection)

    async def _wait(self, projection: str, position: int) -> bool:
        return await projections.wait_for(self._database, projection, position, self._signals, self._patience)
