"""The schema contract: which events are accepted, and what of them the warehouse keeps.

Values are never coerced: `"12"` is not an amount. Fields that no model needs (names, addresses) are dropped on the
way in, so that the warehouse holds no personal data beside the user id.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from chassis.events import Event

Id = Annotated[str, Field(min_length=1, max_length=128)]
Minor = Annotated[int, Field(strict=True, ge=0, lt=2**53)]  # minor units of a currency; beyond 2^53 JSON is not exact
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Text = Annotated[str, Field(max_length=1000)]


class Fields(BaseModel):
    """The part of an event's `data` that the warehouse keeps."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Item(Fields):
    """A line of an order."""

    sku: Id
    name: Text
    quantity: Annotated[int, Field(strict=True, ge=1, lt=2**31)]
    unit_price: Minor


class Registered(Fields):
    """A user registered."""

    user_id: Id
    registered_at: AwareDatetime


class OfUser(Fields):
    """A user changed or was deleted."""

    user_id: Id


class OfOrder(Fields):
    """Something happened to an order."""

    order_id: Id
    user_id: Id


class Placed(OfOrder):
    """An order was placed."""

    items: Annotated[list[Item], Field(min_length=1)]
    total: Minor
    currency: Currency
    placed_at: AwareDatetime


class Confirmed(OfOrder):
    """An order is paid for."""

    items: Annotated[list[Item], Field(min_length=1)]
    total: Minor
    currency: Currency
    confirmed_at: AwareDatetime


class Cancelled(OfOrder):
    """An order was cancelled."""

    reason: Text
    total: Minor
    currency: Currency
    cancelled_at: AwareDatetime


class Rejected(OfOrder):
    """Stock was insufficient."""

    sku: Id
    reason: Text


class Authorized(OfOrder):
    """The payment was authorised."""

    amount: Minor
    currency: Currency


class Declined(OfOrder):
    """The payment was refused."""

    reason: Text


class OfNotification(Fields):
    """The outcome of a message."""

    notification_id: Id
    channel: Annotated[str, Field(pattern=r"^(email|sms|push)$")]
    template: Text


CONTRACT: dict[str, type[Fields]] = {
    "users.v1.registered": Registered,
    "users.v1.updated": OfUser,
    "users.v1.deleted": OfUser,
    "orders.v1.placed": Placed,
    "orders.v1.stock-reserved": OfOrder,
    "orders.v1.stock-rejected": Rejected,
    "orders.v1.payment-authorized": Authorized,
    "orders.v1.payment-declined": Declined,
    "orders.v1.confirmed": Confirmed,
    "orders.v1.cancelled": Cancelled,
    "notifications.v1.sent": OfNotification,
    "notifications.v1.failed": OfNotification,
}


class BrokenContractError(Exception):
    """An event does not fit; the text says which fields and why."""


def fit(event: Event) -> dict[str, Any]:
    """Return the fields to keep, as JSON values. Raises `BrokenContractError`."""
    shape = CONTRACT.get(event.type)
    if shape is None:
        raise BrokenContractError(f"no contract for the type `{event.type}`")
    if event.time.tzinfo is None:
        raise BrokenContractError(f"time: `{event.time.isoformat()}` has no offset from UTC")
    if not 1970 <= event.time.year < 9999:  # noqa: PLR2004 - what RFC 3339 and DuckDB's casts agree on
        raise BrokenContractError(f"time: the year {event.time.year}")
    try:
        return shape.model_validate(_dates(event.data)).model_dump(mode="json")
    except ValidationError as error:
        problems = (f"data.{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
        raise BrokenContractError("; ".join(problems)) from None


def _dates(data: dict[str, Any]) -> dict[str, Any]:
    """Reject numbers where a time belongs: pydantic would read them as seconds since 1970."""
    wrong = [name for name, value in data.items() if name.endswith("_at") and not isinstance(value, str | datetime)]
    if wrong:
        raise BrokenContractError(f"data.{wrong[0]}: `{data[wrong[0]]}` is not an RFC 3339 time")
    return data
