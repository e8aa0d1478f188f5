"""A circuit breaker: after failures in a row, calls fail at once for a while; then one is let through as a trial."""

from __future__ import annotations

import time
from collections.abc import Callable

from chassis.metrics import gauge

OPEN = gauge("circuit_open", "1 while calls to a service fail at once.", ("target",))


class CircuitOpen(Exception):  # noqa: N818 - a state, reported to the caller
    """The service failed too often recently; retry after `retry_after` seconds."""

    def __init__(self, target: str, retry_after: float) -> None:
        super().__init__(f"calls to `{target}` are suspended for {retry_after:.1f} s")
        self.target = target
        self.retry_after = retry_after


class CircuitBreaker:
    """Opens after `failures` in a row, for `seconds`."""

    def __init__(
        self, target: str, *, failures: int = 5, seconds: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._target = target
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Return whether a call would fail at once."""
        return self._failures >= self._limit and self._clock() < self._open_until

    def before(self) -> None:
        """Raise `CircuitOpen` while open; when the time is over, let one call through and hold back the others."""
        if self._failures < self._limit:
            return
        left = self._open_until - self._clock()
        if left > 0:
            raise CircuitOpen(self._target, left)
        self._open_until = self._clock() + self._seconds

    def success(self) -> None:
        """Close the circuit."""
        self._failures = 0
        OPEN.labels(self._target).set(0)

    def failure(self) -> None:
        """Count a failure; open the circuit when there are too many."""
        self._failures += 1
        if self._failures >= self._limit:
            self._open_until = self._clock() + self._seconds
            OPEN.labels(self._target).set(1)
