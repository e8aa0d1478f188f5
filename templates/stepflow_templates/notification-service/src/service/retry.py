"""When a delivery is retried."""

from __future__ import annotations

import secrets

MAX_ATTEMPTS = 6
BASE = 1.0  # seconds
CAP = 300.0  # seconds
_random = secrets.SystemRandom()


def delay(attempt: int) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1): exponential, half of it random, at most `CAP`."""
    ceiling = min(CAP, BASE * 2.0 ** min(attempt - 1, 30))
    return float(ceiling / 2 + _random.random() * ceiling / 2)
