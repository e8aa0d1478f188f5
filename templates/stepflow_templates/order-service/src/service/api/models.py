"""The request and response bodies."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.domain.order import Order
from service.ordering import Written
from service.storage.codec import encode
from service.storage.event_store import Recorded
from service.storage.queries import Row

MAX_LINES, MAX_QUANTITY = 50, 1000
Status = Literal["pending", "confirmed", "cancelled"]


class WantedItem(BaseModel):
    """A product and a quantity."""

    model_config = ConfigDict(extra="forbid")

    sku: Annotated[str, Field(pattern=r"^[A-Z0-9-]{1,40}$", examples=["TEAPOT-418"])]
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY)]


class PaymentMethod(BaseModel):
    """How it is paid: `tok_ok`, `tok_declined`, `tok_slow` or `tok_error` with the simulated provider."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(pattern=r"^tok_[a-z0-9_]{1,60}$", examples=["tok_ok"])]


class OrderRequest(BaseModel):
    """An order. Items of one SKU are added up; prices come from the catalogue."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[WantedItem], Field(min_length=1, max_length=MAX_LINES)]
    payment: PaymentMethod

    def wanted(self) -> dict[str, int]:
        """Return the quantity of each SKU, in the order of first mention."""
        wanted: dict[str, int] = {}
        for item in self.items:
            wanted[item.sku] = wanted.get(item.sku, 0) + item.quantity
        return wanted


class CancelRequest(BaseModel):
    """The reason, and (to be sure that nothing has changed since) the version of the order that is meant."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="cancelled by the customer", min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")
    expected_version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None


class OrderLine(BaseModel):
    """One line, at the price of the day in minor units."""

    sku: str
    name: str
    quantity: int
    unit_price: int


class OrderAnswer(BaseModel):
    """An order. `total` is in minor units of `currency`; `reason` says why it is being, or was, cancelled."""

    id: str
    user_id: str
    status: Status
    reason: str | None
    version: int
    items: list[OrderLine]
    total: int
    currency: str
    payment_id: str | None
    placed_at: datetime

    @classmethod
    def of_row(cls, row: Row) -> OrderAnswer:
        """Show a row of the read model."""
        return cls.model_validate({**row, "id": row["order_id"]})

    @classmethod
    def of_order(cls, order: Order) -> OrderAnswer:
        """Show the aggregate itself."""
        return cls(
            id=order.id,
            user_id=order.user_id,
            status=order.status,
            reason=order.reason,
            version=order.version,
            items=[OrderLine.model_validate(line, from_attributes=True) for line in order.lines],
            total=order.total.amount,
            currency=order.total.currency,
            payment_id=order.payment_id,
            placed_at=order.placed_at,
        )


class AcceptedOrder(OrderAnswer):
    """An order after a change. Send `consistency_token` as `If-Consistent-With` to read what includes it."""

    consistency_token: int

    @classmethod
    def of_written(cls, written: Written) -> AcceptedOrder:
        """Show what was written."""
        order = OrderAnswer.of_order(written.order)
        return cls(**order.model_dump(), consistency_token=written.position)


class OrderEventAnswer(BaseModel):
    """One event of an order's stream, in today's schema."""

    version: int
    position: int
    type: str
    recorded_at: datetime
    data: dict[str, Any]

    @classmethod
    def of_recorded(cls, recorded: Recorded) -> OrderEventAnswer:
        """Show an event."""
        return cls(
            version=recorded.version,
            position=recorded.position,
            type=recorded.type,
            recorded_at=recorded.recorded_at,
            data=encode(recorded.event)[2],
        )


class ProductAnswer(BaseModel):
    """A product; `price` is in minor units of `currency`, `stock` what can be ordered right now."""

    sku: str
    name: str
    description: str
    price: int
    currency: str
    stock: int
