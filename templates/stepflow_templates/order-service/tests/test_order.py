"""What an order allows, and what it becomes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from domain_samples import CANCELLED, CONFIRMED, LINES, NOON, PAID, PLACED, TOTAL, order_after

from service.domain import events as e
from service.domain import order as orders
from service.domain.order import IllegalTransition, Order


def test_placed_order_is_pending_at_version_1_with_its_lines_and_total() -> None:
    order = order_after()
    assert (order.status, order.version, order.lines, order.total) == ("pending", 1, LINES, TOTAL)


def test_order_with_stock_and_money_is_confirmed() -> None:
    assert order_after(*PAID, *order_after(*PAID).confirm(NOON)).status == "confirmed"


@pytest.mark.parametrize(
    ("history", "decide", "because"),
    [
        ((), lambda o: o.confirm(NOON), "its stock is not reserved"),
        ((e.StockReserved(),), lambda o: o.confirm(NOON), "it is not paid"),
        ((e.StockReserved(),), lambda o: o.reserve_stock(), "its stock is reserved already"),
        (PAID, lambda o: o.authorise_payment("p-2"), "it is paid already"),
        (PAID, lambda o: o.cancel("x", NOON), "its payment is not voided yet"),
        ((e.StockReserved(),), lambda o: o.cancel("x", NOON), "its stock is not released yet"),
        (CONFIRMED, lambda o: o.confirm(NOON), "it is confirmed"),
        (CANCELLED, lambda o: o.request_cancellation("x", NOON), "it is cancelled already"),
        ((e.CancellationRequested("x", NOON),), lambda o: o.request_cancellation("x", NOON), "being cancelled already"),
        ((e.CancellationRequested("x", NOON), *PAID), lambda o: o.confirm(NOON), "it is being cancelled"),
        (CANCELLED, lambda o: o.reserve_stock(), "it is cancelled"),
    ],
)
def test_illegal_transition_is_refused_and_says_why(
    history: tuple[e.OrderEvent, ...], decide: Callable[[Order], object], because: str
) -> None:
    with pytest.raises(IllegalTransition, match=f"order o-1 cannot do this: .*{because}"):
        decide(order_after(*history))


def test_confirmed_order_can_be_cancelled_once_money_and_goods_went_back() -> None:
    order = order_after(*CONFIRMED, e.CancellationRequested("changed my mind", NOON))
    assert order.void_payment() == (e.PaymentVoided("p-1"),)
    assert order.release_stock() == (e.StockReleased(),)
    order = order_after(
        *CONFIRMED, e.CancellationRequested("changed my mind", NOON), e.PaymentVoided("p-1"), e.StockReleased()
    )
    assert order.cancel("changed my mind", NOON) == (e.OrderCancelled("changed my mind", NOON),)


def test_undoing_what_was_never_done_does_nothing() -> None:
    assert order_after().void_payment() == ()
    assert order_after().release_stock() == ()


def test_payment_that_arrives_while_cancelling_is_still_recorded() -> None:
    order = order_after(e.StockReserved(), e.CancellationRequested("x", NOON))
    assert order.authorise_payment("p-1") == (e.PaymentAuthorised("p-1", TOTAL),)


def test_stream_that_does_not_begin_with_placed_is_refused() -> None:
    with pytest.raises(ValueError, match="StockReserved came before OrderPlaced"):
        orders.evolve(None, e.StockReserved())
    with pytest.raises(ValueError, match="order o-1 was placed twice"):
        orders.evolve(order_after(), PLACED)
