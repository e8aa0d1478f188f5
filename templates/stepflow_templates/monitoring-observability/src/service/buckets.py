"""Durations in buckets that grow by 19 %: few enough to add up, exact enough for percentiles."""

from __future__ import annotations

import math
from collections.abc import Mapping

PER_DOUBLING = 4


def bucket_of(duration_ns: int) -> int:
    """Return the bucket of a duration; the first holds all up to a microsecond."""
    microseconds = duration_ns / 1000
    return 0 if microseconds <= 1 else math.ceil(PER_DOUBLING * math.log2(microseconds))


def milliseconds(bucket: int) -> float:
    """Return the upper end of a bucket."""
    return float(2 ** (bucket / PER_DOUBLING)) / 1000


def quantile(counts: Mapping[int, int], part: float) -> float | None:
    """Return the duration in milliseconds that `part` (0 to 1) of all stay within; None when there are none."""
    total = sum(counts.values())
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= part * total:
            return round(milliseconds(bucket), 3)
    return None
