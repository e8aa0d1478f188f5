"""Tests wait on conditions, never for a time."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

T = TypeVar("T")


def eventually(ask: Callable[[], T], *, within: float = 20.0, every: float = 0.05) -> T:
    """Ask until the answer is true, and give it; after `within` seconds the assertion shows the last answer."""
    deadline = monotonic() + within
    while not (answer := ask()) and monotonic() < deadline:
        sleep(every)
    assert answer, f"within {within} s it never became true: {answer!r}"
    return answer
