"""Background tasks that are restarted when they fail, and cancelled together at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)
CANCEL_EVERY = 0.2  # seconds
BACK_OFF = (0.2, 10.0)  # seconds, first and longest


class Tasks:
    """The tasks of one service."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run it; when it raises, log one line and run it again after a pause. Returning ends it."""
        self._tasks[name] = asyncio.create_task(_keep_running(name, run), name=name)

    async def stop(self) -> None:
        """Cancel all and wait until they are done.

        Cancellation is repeated: nats-py, and `wait_for` before Python 3.12, may swallow a cancellation that meets the
        result that was waited for.
        """
        pending = set(self._tasks.values())
        self._tasks.clear()
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=CANCEL_EVERY)


async def _keep_running(name: str, run: Callable[[], Awaitable[None]]) -> None:
    wait, longest = BACK_OFF
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            await run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the task is restarted
            if loop.time() - started > longest:
                wait = BACK_OFF[0]
            text = f"{type(error).__name__}: {error}".rstrip(": ")
            log.warning("`%s` failed; restarting in %.1f s: %s", name, wait, text)
            await asyncio.sleep(wait)
            wait = min(longest, wait * 2)
        else:
            return
