"""Waiting for a condition, never for a time."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

T = TypeVar("T")


def eventually(ask: Callable[[], T], *, within: float = 90.0, every: float = 0.05) -> T:
    """Call `ask` until its answer is true and return it; after `within` seconds an assertion shows the last answer."""
    deadline = monotonic() + within
    while not (answer := ask()) and monotonic() < deadline:
        sleep(every)
    assert answer, f"not true within {within} s: {answer!r}"
    return answer
