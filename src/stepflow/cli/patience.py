"""A line on standard error that says what a command waits for, where that takes long."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

_T = TypeVar("_T")
_SILENT = 5  # seconds of waiting of which nothing is said


async def patiently(work: Awaitable[_T], target: str) -> _T:
    """Await what asks a target, and say so if no answer comes for some seconds."""
    telling = asyncio.create_task(_tell(target))
    try:
        return await work
    finally:
        telling.cancel()


async def _tell(target: str) -> None:
    for _ in range(_SILENT):  # one by one: while this process works, it does not wait
        await asyncio.sleep(1)
    sys.stderr.write(f"waiting for the target `{target}` to answer; Ctrl-C stops that\n")
    sys.stderr.flush()
