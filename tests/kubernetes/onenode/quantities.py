"""Quantities as Kubernetes writes them."""

from __future__ import annotations

import re
from decimal import Decimal

_UNITS = {
    "": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
_FORM = re.compile(r"([0-9.]+)([A-Za-z]*)")


def amount(quantity: str | float) -> float:
    """Give the number that a quantity stands for; cores, bytes or pieces. Raises `ValueError`."""
    found = _FORM.fullmatch(str(quantity))
    if found is None or found[2] not in _UNITS:
        raise ValueError(f"`{quantity}` is no quantity")
    return float(Decimal(found[1]) * Decimal(_UNITS[found[2]]))


def share(value: str | int, whole: int, *, up: bool) -> int:
    """Give a number of pods that is said as a number or as a percentage of `whole`, rounded up or down."""
    if isinstance(value, str) and value.endswith("%"):
        part = int(value[:-1]) * whole
        return -(-part // 100) if up else part // 100
    return int(value)
