"""What a pod asks for and may use. Requests are what it was seen to use at rest, so that three copies of everything fit
a laptop; limits are some ten times that, so that one that goes astray ends alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .model import Object

Size = Literal["service", "store", "envoy", "nats", "postgres", "valkey", "job"]

_REQUESTS: Mapping[Size, tuple[str, str]] = {  # CPU, memory
    "service": ("20m", "80Mi"),
    "store": ("25m", "112Mi"),
    "envoy": ("25m", "64Mi"),
    "nats": ("50m", "48Mi"),
    "postgres": ("50m", "160Mi"),
    "valkey": ("20m", "24Mi"),
    "job": ("20m", "64Mi"),
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
    """Give requests and limits for CPU, memory and ephemeral storage; `stored` is what else lies in the pod."""
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
