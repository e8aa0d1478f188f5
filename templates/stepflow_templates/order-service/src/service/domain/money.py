"""Amounts of money: whole minor units, never floats."""

from __future__ import annotations

from dataclasses import dataclass


class CurrencyMismatch(ValueError):  # noqa: N818 - says what happened, like the domain's other refusals
    """Two currencies met in one sum."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (cents) of an ISO 4217 currency."""

    amount: int
    currency: str

    def __add__(self, other: Money) -> Money:
        """Add two amounts of one currency; raises `CurrencyMismatch` otherwise."""
        if self.currency != other.currency:
            raise CurrencyMismatch(f"cannot add {other.currency} to {self.currency}")
        return Money(self.amount + other.amount, self.currency)

    def times(self, quantity: int) -> Money:
        """Return the price of `quantity` pieces."""
        return Money(self.amount * quantity, self.currency)
