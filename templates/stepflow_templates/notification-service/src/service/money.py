"""Amounts for people: formats integer minor units and an ISO 4217 code as `12.34 EUR`."""

from __future__ import annotations

ZERO_DECIMALS = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "XAF", "XOF"}
)
THREE_DECIMALS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})


def money(minor_units: int, currency: str) -> str:
    """Format an amount with the decimals of its currency (ISO 4217). Raises `ValueError` for a fraction."""
    if isinstance(minor_units, bool) or not isinstance(minor_units, int):
        raise ValueError(f"an amount is a whole number of minor units, not `{minor_units}`")  # noqa: TRY004 - shown to the template's author
    decimals = 0 if currency in ZERO_DECIMALS else 3 if currency in THREE_DECIMALS else 2
    sign, digits = "-" if minor_units < 0 else "", str(abs(minor_units)).rjust(decimals + 1, "0")
    whole, fraction = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    return f"{sign}{whole}{'.' if fraction else ''}{fraction} {currency}"
