"""Waits that cancelling does not end: what has begun comes to its end first."""

from __future__ import annotations

import asyncio
from typing import Any


async def to_its_end(future: asyncio.Future[Any]) -> bool:
    """Wait until a future is done, whatever it holds then; return whether this task was cancelled in that time."""
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            cancelled = True
    return cancelled
