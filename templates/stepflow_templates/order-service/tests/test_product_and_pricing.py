"""Stock, and what an order costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import events as e
from service.domain import product as products
from service.domain.money import CurrencyMismatch, Money
from service.domain.pricing import UnknownProducts, price
from service.domain.product import OutOfStock, Product

TEAPOT = Product("TEAPOT", "A teapot", "", Money(1950, "EUR"), available=3)
MUG = Product("MUG", "A mug", "", Money(900, "EUR"), available=10)
KIMONO = Product("KIMONO", "A kimono", "", Money(90000, "JPY"), available=10)


def test_price_is_that_of_the_catalogue_times_the_quantity() -> None:
    lines, total = price({"TEAPOT": 2, "MUG": 1}, {"TEAPOT": TEAPOT, "MUG": MUG})
    assert total == Money(4800, "EUR")
    assert lines == (e.Line("TEAPOT", "A teapot", 2, 1950), e.Line("MUG", "A mug", 1, 900))


def test_all_unknown_products_are_named_at_once() -> None:
    with pytest.raises(UnknownProducts, match="not in the catalogue: LAMP, VASE"):
        price({"LAMP": 1, "MUG": 1, "VASE": 1}, {"MUG": MUG})


def test_order_in_two_currencies_is_refused() -> None:
    with pytest.raises(CurrencyMismatch, match="cannot add JPY to EUR"):
        price({"MUG": 1, "KIMONO": 1}, {"MUG": MUG, "KIMONO": KIMONO})


def test_more_than_there_is_cannot_be_reserved() -> None:
    with pytest.raises(OutOfStock, match="TEAPOT: 4 wanted, 3 available"):
        TEAPOT.reserve("o-1", 4)


@given(st.lists(st.integers(min_value=1, max_value=5), max_size=20))
def test_stock_never_goes_below_zero_and_all_of_it_comes_back(quantities: list[int]) -> None:
    shelf = MUG
    taken: list[tuple[str, int]] = []
    for number, quantity in enumerate(quantities):
        try:
            (event,) = shelf.reserve(str(number), quantity)
        except OutOfStock:
            continue
        taken.append((str(number), quantity))
        shelf = products.evolve(shelf, event)
        assert shelf.available >= 0
    for order_id, quantity in taken:
        (event,) = shelf.release(order_id, quantity)
        shelf = products.evolve(shelf, event)
    assert shelf.available == MUG.available


def test_product_that_was_never_listed_has_no_stock() -> None:
    with pytest.raises(ValueError, match="StockReceived came before ProductListed"):
        products.evolve(None, e.StockReceived(1))
