"""The contract with other services: the `data` of the public events `orders.v1.*`.

Money is in minor units of `currency`. Fields are only ever added; another meaning needs another version in the type.
`/asyncapi.json` is generated from these.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class Item(BaseModel):
    """One line of an order."""

    model_config = ConfigDict(from_attributes=True)

    sku: str
    name: str
    quantity: int = Field(ge=1)
    unit_price: int = Field(ge=0)


class About(BaseModel):
    """What every event says: which order, and whose."""

    order_id: str
    user_id: str


class Goods(About):
    """What was ordered, and for how much."""

    items: list[Item]
    total: int = Field(ge=0)
    currency: str = Field(pattern="^[A-Z]{3}$")


class Placed(Goods):
    """A customer asked for goods at these prices."""

    placed_at: datetime


class StockReserved(About):
    """All lines are set aside."""

    items: list[Item]


class StockRejected(About):
    """A line cannot be had."""

    sku: str
    reason: str


class PaymentAuthorized(About):
    """The money was taken."""

    payment_id: str
    amount: int = Field(ge=0)
    currency: str = Field(pattern="^[A-Z]{3}$")


class PaymentDeclined(About):
    """No money was taken, or none that stays."""

    reason: str


class Confirmed(Goods):
    """The order stands."""

    confirmed_at: datetime


class Cancelled(Goods):
    """The order is over and everything undone; also an order that was confirmed before."""

    reason: str
    cancelled_at: datetime


PUBLISHED: dict[str, type[About]] = {
    "orders.v1.placed": Placed,
    "orders.v1.stock-reserved": StockReserved,
    "orders.v1.stock-rejected": StockRejected,
    "orders.v1.payment-authorized": PaymentAuthorized,
    "orders.v1.payment-declined": PaymentDeclined,
    "orders.v1.confirmed": Confirmed,
    "orders.v1.cancelled": Cancelled,
}
