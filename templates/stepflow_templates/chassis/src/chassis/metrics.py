"""Metrics: served at `/metrics` as Prometheus text and pushed by OTLP, both from one registry."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bucket bounds for durations of requests."""

_made: dict[str, Counter | Gauge | Histogram] = {}


def counter(name: str, help: str, labels: Sequence[str] = ()) -> Counter:  # noqa: A002 - Prometheus' word
    """Return the counter of this name, created on the first call. Names end in `_total`."""
    made = _made.get(name) or _made.setdefault(name, Counter(name, help, labels))
    assert isinstance(made, Counter)
    return made


def gauge(name: str, help: str, labels: Sequence[str] = ()) -> Gauge:  # noqa: A002 - Prometheus' word
    """Return the gauge of this name, created on the first call."""
    made = _made.get(name) or _made.setdefault(name, Gauge(name, help, labels))
    assert isinstance(made, Gauge)
    return made


def histogram(
    name: str,
    help: str,  # noqa: A002 - Prometheus' word
    labels: Sequence[str] = (),
    *,
    buckets: Sequence[float] = SECONDS,
) -> Histogram:
    """Return the histogram of this name, created on the first call. `buckets` are upper bounds in the metric's unit."""
    made = _made.get(name) or _made.setdefault(name, Histogram(name, help, labels, buckets=buckets))
    assert isinstance(made, Histogram)
    return made


def build_info(service: str, version: str) -> None:
    """Record the service, its version and Python's as the labels of `build_info`, whose value is 1."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    gauge("build_info", "What is running.", ("service", "version", "python")).labels(service, version, python).set(1)


def exposition() -> tuple[bytes, str]:
    """Return all metrics as Prometheus text, and its media type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
