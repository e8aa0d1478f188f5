"""Waiting on conditions instead of sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
LOOK_EVERY = 0.02  # seconds
PATIENCE = 30.0  # seconds; long, as it costs nothing where the answer comes soon, and a machine may be busy


async def eventually(condition: Callable[[], Awaitable[T]], timeout: float = PATIENCE) -> T:  # noqa: ASYNC109 - a deadline
    """Poll until the answer is true, and return it; raises `TimeoutError` after `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while True:
            answer = await condition()
            if answer:
                return answer
            await asyncio.sleep(LOOK_EVERY)
