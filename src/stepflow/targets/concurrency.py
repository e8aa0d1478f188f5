"""Several coroutines at once, and what they yield as one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

from stepflow.blame import OUTSIDE, words

T = TypeVar("T")


async def together(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Wait for all; the first error ends the others and is raised as it is, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(_kept_inside(coroutine))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors.exceptions[0].__cause__


async def _kept_inside(coroutine: Coroutine[Any, Any, None]) -> None:
    """Turn a `SystemExit`, which would leave the event loop past everything that waits, into an error of its own."""
    try:
        await coroutine
    except (Exception, *OUTSIDE):
        raise
    except BaseException as error:
        raise RuntimeError(words(error)) from error


async def put_by(work: Callable[[asyncio.Queue[T | None]], Coroutine[Any, Any, None]]) -> AsyncGenerator[T]:
    """Yield what `work` puts into its queue, until it fails: that is raised as it is; ends it with the generator."""
    queue: asyncio.Queue[T | None] = asyncio.Queue()
    working = asyncio.create_task(work(queue))
    working.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while (item := await queue.get()) is not None:
            yield item
        await working  # which failed: it has no other end
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
    finally:
        working.cancel()
        await asyncio.wait([working])
