"""What a pod requests and may use.

CPU requests are what the pods of a size use on average at rest, and a tenth of what they use when the platform takes
all that one node of 8 cores can (41 orders/s: docs/scale.md, stage "one node" at 100 %, three copies of what scales;
measured in bench/scale/costs.json). So the sum that a scheduler sees is the sum that runs. One that is told less puts
more pods on a node than it can run; and an autoscaler counts in percent of the request.

| size     | at rest, cores | when full, cores       | request | limit: what one pod can use             |
|----------|----------------|------------------------|---------|-----------------------------------------|
| service  | 0.015          | 0.24 (of orders: 0.87) | 50m     | 1: one Python process                   |
| store    | 0.012          | 0.41 (telemetry: 0.75) | 60m     | 2: DuckDB works with threads of its own |
| envoy    | 0.008          | 0.19                   | 40m     | 1: far above its share of that load     |
| nats     | 0.017          | 0.18 (who leads)       | 40m     | 2: what was missed is replayed at once  |
| postgres | 0.012          | 1.2                    | 150m    | 2: statements run beside each other     |
| valkey   | 0.002          | 0.08                   | 20m     | 1: one thread                           |
| job      |                | 1, for a second or two | 50m     | 1: one Python process                   |

Memory requests are what was seen at rest, limits some ten times that: one that grows without end is killed alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .model import Object

Size = Literal["service", "store", "envoy", "nats", "postgres", "valkey", "job"]

_REQUESTS: Mapping[Size, tuple[str, str]] = {  # CPU, memory
    "service": ("50m", "80Mi"),
    "store": ("60m", "112Mi"),
    "envoy": ("40m", "64Mi"),
    "nats": ("40m", "48Mi"),
    "postgres": ("150m", "160Mi"),
    "valkey": ("20m", "24Mi"),
    "job": ("50m", "64Mi"),
}
_LIMITS: Mapping[Size, tuple[str, str]] = {
    "service": ("1", "768Mi"),
    "store": ("2", "1Gi"),
    "envoy": ("1", "512Mi"),
    "nats": ("2", "512Mi"),
    "postgres": ("2", "1Gi"),
    "valkey": ("1", "512Mi"),
    "job": ("1", "384Mi"),
}
_SCRATCH = ("64Mi", "256Mi")
_MEBI = {"Mi": 1, "Gi": 1024, "Ti": 1024 * 1024}


def resources(size: Size, stored: str = "") -> Object:
    """Return requests and limits for CPU, memory and ephemeral storage; `stored` is what else lies in the pod."""
    asked, most = _SCRATCH
    if stored:
        most = f"{mebibytes(most) + mebibytes(stored)}Mi"
    return {
        "requests": dict(zip(("cpu", "memory"), _REQUESTS[size], strict=True)) | {"ephemeral-storage": asked},
        "limits": dict(zip(("cpu", "memory"), _LIMITS[size], strict=True)) | {"ephemeral-storage": most},
    }


def mebibytes(quantity: str) -> int:
    """Read a quantity in Mi, Gi or Ti."""
    return int(quantity[:-2]) * _MEBI[quantity[-2:]]


def millicores(quantity: str) -> int:
    """Read a quantity of CPU."""
    return int(quantity[:-1]) if quantity.endswith("m") else int(quantity) * 1000
