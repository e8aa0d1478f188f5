"""Everything that can have happened to an order or a product, in the past tense.

Events are facts: never changed, only added.
How they are serialised (names, schema versions, upcasting) is up to `storage.codec`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from service.domain.money import Money


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an order: so many pieces at the price of that day, in minor units of the order's currency."""

    sku: str
    name: str
    quantity: int
    unit_price: int


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    """A customer asked for goods at these prices."""

    order_id: str
    user_id: str
    lines: tuple[Line, ...]
    total: Money
    placed_at: datetime
    test: bool = False  # by a test account: nothing of the shop moves


@dataclass(frozen=True, slots=True)
class StockReserved:
    """All lines are set aside for the order."""


@dataclass(frozen=True, slots=True)
class StockRejected:
    """The first line that is not available, and why."""

    sku: str
    reason: str


@dataclass(frozen=True, slots=True)
class PaymentAuthorised:
    """The provider took the money."""

    payment_id: str
    amount: Money


@dataclass(frozen=True, slots=True)
class PaymentDeclined:
    """The provider took nothing, or could not be asked in time."""

    reason: str


@dataclass(frozen=True, slots=True)
class OrderConfirmed:
    """Stock and payment are secured: the order is confirmed."""

    confirmed_at: datetime


@dataclass(frozen=True, slots=True)
class CancellationRequested:
    """The customer, or an administrator, cancels; what was done is undone next."""

    reason: str
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class PaymentVoided:
    """The money was refunded."""

    payment_id: str


@dataclass(frozen=True, slots=True)
class StockReleased:
    """The goods were returned to stock."""


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    """Nothing is left to undo: the order is cancelled."""

    reason: str
    cancelled_at: datetime


OrderEvent = (
    OrderPlaced
    | StockReserved
    | StockRejected
    | PaymentAuthorised
    | PaymentDeclined
    | OrderConfirmed
    | CancellationRequested
    | PaymentVoided
    | StockReleased
    | OrderCancelled
)


@dataclass(frozen=True, slots=True)
class ProductListed:
    """A product joined the catalogue."""

    sku: str
    name: str
    description: str
    price: Money
    test: bool = False  # on the shelf of test orders


@dataclass(frozen=True, slots=True)
class StockReceived:
    """Pieces arrived."""

    quantity: int


@dataclass(frozen=True, slots=True)
class UnitsReserved:
    """Pieces were set aside for an order."""

    order_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class UnitsReleased:
    """Pieces that were set aside came back."""

    order_id: str
    quantity: int


ProductEvent = ProductListed | StockReceived | UnitsReserved | UnitsReleased
DomainEvent = OrderEvent | ProductEvent
