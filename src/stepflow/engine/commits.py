"""Group commit: what steps record at the same time becomes durable together, for the price of one wait for the disk."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from stepflow.engine.uncancelled import to_its_end
from stepflow.errors import MachineError
from stepflow.journal import Journal


class Commits:
    """The commits of a journal while steps run. Use it in a `with` statement, in a running event loop.

    What is recorded in one turn of the loop is committed in the next; `durable` waits for that.
    """

    def __init__(self, journal: Journal) -> None:
        """Prepare; each change is still durable by itself."""
        self._journal = journal
        self._next: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        """Begin to commit in groups."""
        self._journal.together(self._begun)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit what is left. Raises `MachineError` when that cannot be done, unless another error is on its way."""
        with suppress(*([MachineError] if error else [])):
            self._journal.together(None)

    async def durable(self) -> None:
        """Wait until all that was recorded is durable, also when this task is cancelled. Raises `MachineError`."""
        if (waiting := self._next) is None:
            return
        cancelled = await to_its_end(waiting)
        waiting.result()
        if cancelled:
            raise asyncio.CancelledError

    def _begun(self) -> None:
        loop = asyncio.get_running_loop()
        self._next = loop.create_future()
        loop.call_soon(self._commit, self._next)

    def _commit(self, done: asyncio.Future[None]) -> None:
        try:
            self._journal.commit()
        except MachineError as error:
            done.set_exception(error)
            done.exception()  # marks it as seen: no step may be waiting
        else:
            done.set_result(None)
