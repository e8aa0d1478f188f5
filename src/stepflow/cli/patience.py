"""A line on standard error that says what a command waits for, where that takes long."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_T = TypeVar("_T")
_SILENT = 5  # seconds of waiting of which nothing is said
_WORDS = "waiting for the target `{}` to answer; Ctrl-C stops that\n"


async def patiently(work: Awaitable[_T], target: str, *, heard: Callable[[], bool] = lambda: False) -> _T:
    """Await what asks a target, and say so if no answer comes for some seconds, unless it was heard of by then."""
    telling = asyncio.create_task(_tell(target, heard))
    try:
        return await work
    finally:
        telling.cancel()


async def _tell(target: str, heard: Callable[[], bool]) -> None:
    for _ in range(_SILENT):  # one by one: while this process works, it does not wait
        await asyncio.sleep(1)
    if not heard():
        sys.stderr.write(_WORDS.format(target))
        sys.stderr.flush()


def notice(said: str) -> None:
    """Print to standard error what a command waits for."""
    sys.stderr.write(f"{said}\n")
    sys.stderr.flush()


@contextmanager
def patience(target: str) -> Iterator[None]:
    """Do the same while something blocks."""
    timer = threading.Timer(_SILENT, sys.stderr.write, [_WORDS.format(target)])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
