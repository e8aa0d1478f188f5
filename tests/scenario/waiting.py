"""Waits for what other processes do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def eventually(ask: Callable[[], object], within: float = 60.0) -> bool:
    """Ask until the answer is true, or so many seconds are over; return whether it was."""
    deadline, pause = time.monotonic() + within, threading.Event()
    while not ask():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.02)
    return True
