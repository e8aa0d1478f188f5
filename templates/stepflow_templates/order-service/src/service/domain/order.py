"""The order: an aggregate whose state is nothing but its events, folded.

Two kinds of functions. *Decisions* (methods of `Order`) look at the state and answer with the events that follow, or
raise `IllegalTransition`; they change nothing. `evolve` applies one event and decides nothing. Replaying a stream is
`evolve` in a loop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from service.domain import events as e
from service.domain.money import Money

Status = Literal["pending", "confirmed", "cancelled"]


class IllegalTransition(Exception):  # noqa: N818 - a refusal of the domain, not a fault of the program
    """The order is not in a state in which this can happen."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order as its events left it. `version` counts them."""

    id: str
    user_id: str
    lines: tuple[e.Line, ...]
    total: Money
    placed_at: datetime
    test: bool = False
    version: int = 1
    status: Status = "pending"
    stock_reserved: bool = False
    payment_id: str | None = None  # while money is held
    cancelling: bool = False
    reason: str | None = None  # why it is being, or was, cancelled

    def reserve_stock(self) -> tuple[e.OrderEvent, ...]:
        """Note that every line is set aside."""
        self._require(not self.stock_reserved, "its stock is reserved already")
        self._require_open()
        return (e.StockReserved(),)

    def reject_stock(self, sku: str, reason: str) -> tuple[e.OrderEvent, ...]:
        """Note that a line cannot be had."""
        self._require(not self.stock_reserved, "its stock is reserved already")
        self._require_open()
        return (e.StockRejected(sku, reason),)

    def authorise_payment(self, payment_id: str) -> tuple[e.OrderEvent, ...]:
        """Note that the provider took the money. Legal while cancelling too: a late fact is still a fact."""
        self._require(self.status == "pending", f"it is {self.status}")
        self._require(self.payment_id is None, "it is paid already")
        return (e.PaymentAuthorised(payment_id, self.total),)

    def decline_payment(self, reason: str) -> tuple[e.OrderEvent, ...]:
        """Note that the provider took nothing."""
        self._require(self.status == "pending", f"it is {self.status}")
        self._require(self.payment_id is None, "it is paid already")
        return (e.PaymentDeclined(reason),)

    def confirm(self, now: datetime) -> tuple[e.OrderEvent, ...]:
        """Confirm the order: only with stock and money, and while it is not being cancelled."""
        self._require_open()
        self._require(self.stock_reserved, "its stock is not reserved")
        self._require(self.payment_id is not None, "it is not paid")
        return (e.OrderConfirmed(now),)

    def request_cancellation(self, reason: str, now: datetime) -> tuple[e.OrderEvent, ...]:
        """Request the cancellation of a pending or a confirmed order."""
        self._require(self.status != "cancelled", "it is cancelled already")
        self._require(not self.cancelling, "it is being cancelled already")
        return (e.CancellationRequested(reason, now),)

    def void_payment(self) -> tuple[e.OrderEvent, ...]:
        """Note that the money was refunded; nothing where none was held."""
        return () if self.payment_id is None else (e.PaymentVoided(self.payment_id),)

    def release_stock(self) -> tuple[e.OrderEvent, ...]:
        """Note that the goods were released; nothing where none were reserved."""
        return (e.StockReleased(),) if self.stock_reserved else ()

    def cancel(self, reason: str, now: datetime) -> tuple[e.OrderEvent, ...]:
        """End the order: only once everything is undone."""
        self._require(self.status != "cancelled", "it is cancelled already")
        self._require(self.payment_id is None, "its payment is not voided yet")
        self._require(not self.stock_reserved, "its stock is not released yet")
        return (e.OrderCancelled(reason, now),)

    def _require_open(self) -> None:
        self._require(self.status == "pending", f"it is {self.status}")
        self._require(not self.cancelling, "it is being cancelled")

    def _require(self, condition: bool, because: str) -> None:  # noqa: FBT001 - reads as the sentence it is
        if not condition:
            raise IllegalTransition(f"order {self.id} cannot do this: {because}")


def evolve(order: Order | None, event: e.OrderEvent) -> Order:
    """Apply one event. Total on the streams that decisions produce; raises `ValueError` on any other."""
    if isinstance(event, e.OrderPlaced):
        if order is not None:
            raise ValueError(f"order {event.order_id} was placed twice")
        return Order(event.order_id, event.user_id, event.lines, event.total, event.placed_at, event.test)
    if order is None:
        raise ValueError(f"{type(event).__name__} came before OrderPlaced")
    return replace(_changed(order, event), version=order.version + 1)


def _changed(order: Order, event: e.OrderEvent) -> Order:
    changed = order  # StockRejected and PaymentDeclined say why; the saga decides what follows
    match event:
        case e.StockReserved():
            changed = replace(order, stock_reserved=True)
        case e.StockReleased():
            changed = replace(order, stock_reserved=False)
        case e.PaymentAuthorised(payment_id=payment_id):
            changed = replace(order, payment_id=payment_id)
        case e.PaymentVoided():
            changed = replace(order, payment_id=None)
        case e.OrderConfirmed():
            changed = replace(order, status="confirmed")
        case e.CancellationRequested(reason=reason):
            changed = replace(order, cancelling=True, reason=reason)
        case e.OrderCancelled(reason=reason):
            changed = replace(order, status="cancelled", cancelling=False, reason=reason)
    return changed
