"""The outcome of a payment: decided by its token, as in every provider's sandbox, and by the fault that is on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Status = Literal["pending", "captured", "declined", "voided"]
Fault = Literal["none", "down", "slow", "error"]

NOT_PROCESSED = "urn:stepflow:payments:not-processed"
"""Type of the problem that guarantees: this request changed nothing."""


@dataclass(frozen=True, slots=True)
class Payment:
    """A requested payment. One per idempotency key, for ever."""

    id: str
    order_id: str
    amount: int
    currency: str
    status: Status
    reason: str | None
    created_at: datetime
    test: bool = False  # in test mode no money moves


@dataclass(frozen=True, slots=True)
class Fate:
    """How a payment proceeds: its final status, and what delays or fails it."""

    status: Status
    reason: str | None = None
    slow: bool = False
    error: bool = False  # the token's bank fails every time


def fate(token: str, fault: Fault) -> Fate:
    """Read the token; unknown ones are declined. The fault `slow` makes every good payment slow."""
    match token:
        case "tok_ok":
            return Fate("captured", slow=fault == "slow")
        case "tok_slow":
            return Fate("captured", slow=True)
        case "tok_error":
            return Fate("pending", error=True)
        case "tok_declined":
            return Fate("declined", "the card was declined")
        case _:
            return Fate("declined", "the token is unknown")
