"""Signals while a run or a command goes on: SIGINT (Ctrl-C), SIGTERM, and SIGHUP of a terminal that went away."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible(pressed: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Call `pressed` for each of the signals instead of what they do by default. SIGHUP stays ignored under `nohup`."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    taken = [each for each in _SIGNALS if each != signal.SIGHUP or before[each] != signal.SIG_IGN]
    for number in taken:
        loop.add_signal_handler(number, pressed, number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])
