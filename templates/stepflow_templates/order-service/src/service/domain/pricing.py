"""What an order costs: prices come from the catalogue, never from the customer."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.events import Line
from service.domain.money import Money
from service.domain.product import Product


class UnknownProducts(Exception):  # noqa: N818 - a refusal of the domain, not a fault of the program
    """The catalogue does not have these SKUs."""

    def __init__(self, skus: tuple[str, ...]) -> None:
        """Name all of them."""
        super().__init__(f"not in the catalogue: {', '.join(skus)}")
        self.skus = skus


def price(wanted: Mapping[str, int], catalogue: Mapping[str, Product]) -> tuple[tuple[Line, ...], Money]:
    """Price a selection (SKU to quantity, not empty), in the order given.

    Raises `UnknownProducts` with all that are missing, `CurrencyMismatch` for products of different currencies.
    """
    unknown = tuple(sku for sku in wanted if sku not in catalogue)
    if unknown:
        raise UnknownProducts(unknown)
    lines = tuple(
        Line(sku, catalogue[sku].name, quantity, catalogue[sku].price.amount) for sku, quantity in wanted.items()
    )
    amounts = [catalogue[sku].price.times(quantity) for sku, quantity in wanted.items()]
    total = amounts[0]
    for amount in amounts[1:]:
        total += amount
    return lines, total
