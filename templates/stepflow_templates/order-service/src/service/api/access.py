"""Who may see and do what: users their own orders, administrators all, clients what their scopes say."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path

from chassis.auth import Principal, require_scope
from chassis.problem import Problem

Reader = Annotated[Principal, Depends(require_scope("orders:read"))]
Writer = Annotated[Principal, Depends(require_scope("orders:write"))]
RawOrderId = Annotated[str, Path(alias="order_id", description="The order's id, a UUID.")]


def order_id(raw: RawOrderId) -> str:
    """Read the id from the path. What is not a UUID cannot be an order: 404."""
    try:
        return str(UUID(raw))
    except ValueError:
        raise no_such_order(raw) from None


OrderId = Annotated[str, Depends(order_id)]


def check_owner(caller: Principal, owner: str, order: str) -> None:
    """Let owners, administrators and clients pass. Others get the 404 of an order that does not exist."""
    if caller.is_user and not caller.is_admin and caller.subject != owner:
        raise no_such_order(order)


def no_such_order(order: str) -> Problem:
    """Make the 404."""
    return Problem(404, "No such order", detail=f"There is no order `{order}` that you may see.")
