"""Amounts as Kubernetes writes them: `500m`, `2`, `24Gi`, `1e3`."""

from __future__ import annotations

_DECIMAL = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}


def amount(text: str | float) -> float:
    """Read an amount: cores, or bytes. Raises `ValueError` for anything else."""
    said = str(text)
    for suffix, factor in (_BINARY | _DECIMAL).items():
        if said.endswith(suffix):
            return float(said.removesuffix(suffix)) * factor
    return float(said)
