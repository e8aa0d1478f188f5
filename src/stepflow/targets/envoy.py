"""Envoy on every target: the arguments of each container of it, and how it is drained before it is stopped."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from stepflow.targets.ports import request

ARGUMENTS = ("--concurrency", "1", "--disable-hot-restart", "-l", "warning")
"""Follow the command that a workload declares: one worker, no successor that takes over, warnings only."""
_STEP = 0.1  # seconds between two checks of what is in flight


async def drain(admin: int, longest: float) -> None:
    """Fail Envoy's health check, close its listeners gently, and wait (at most `longest` seconds) for it to be idle."""
    with suppress(OSError, ValueError, TimeoutError):
        async with asyncio.timeout(longest):
            await request(admin, "/healthcheck/fail", "POST")
            await request(admin, "/drain_listeners?graceful", "POST")
            await _idle(admin)


async def _idle(admin: int) -> None:
    while True:
        if not await _active(admin):
            return
        await asyncio.sleep(_STEP)


async def _active(admin: int) -> int:
    _, text = await request(admin, "/stats?filter=downstream_rq_active")
    pairs = (line.partition(": ") for line in text.splitlines())
    return sum(int(value) for name, _, value in pairs if value.isdigit() and not name.startswith("http.admin."))
