"""Ctrl-C and SIGTERM while a run or a command goes on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(pressed: Callable[[int], None]) -> Iterator[None]:
    """Call `pressed` with 1 at the first SIGINT or SIGTERM, with 2 at the next, instead of what they do by default."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    count = 0

    def press() -> None:
        nonlocal count
        count += 1
        pressed(count)

    for number in _SIGNALS:
        loop.add_signal_handler(number, press)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
