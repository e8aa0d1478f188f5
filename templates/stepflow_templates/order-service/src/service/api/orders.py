"""`/api/orders`: commands go to the aggregate, questions to the read model; history comes from the event store."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from chassis.database import Database
from chassis.etag import etag, if_match
from chassis.idempotency import idempotent
from chassis.paging import Page, decode_cursor, encode_cursor, link_header
from chassis.problem import PROBLEMS, Problem, declared
from service import ordering
from service.api.access import OrderId, Reader, Writer, check_owner, no_such_order
from service.api.consistency import FRESHNESS_PROBLEMS, RESPONSE_HEADER, Freshness, Token
from service.api.models import (
    AcceptedOrder,
    CancelRequest,
    OrderAnswer,
    OrderEventAnswer,
    OrderRequest,
    Status,
)
from service.domain.order import IllegalTransition, Order
from service.domain.pricing import UnknownProducts
from service.storage import event_store, queries
from service.storage.aggregates import ORDER, load, load_as_of
from service.storage.event_store import VersionConflict

CONFLICT = declared("The order is not in a state, or not at the version, in which this is possible.")
NOT_NOW = declared("A product is not in the catalogue, or the same `Idempotency-Key` is in use right now.")
Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before.")]


def commands(database: Database) -> APIRouter:
    """Make the routes that change orders."""
    routes = APIRouter(prefix="/api/orders", tags=["orders"])

    @routes.post(
        "",
        status_code=202,
        dependencies=[Depends(idempotent)],
        responses={400: PROBLEMS[400], 409: NOT_NOW},
    )
    async def place(
        asked: OrderRequest, caller: Writer, response: Response, idempotency_key: Annotated[str | None, Header()] = None
    ) -> AcceptedOrder:
        """Place an order. It is pending until its saga has reserved stock and authorised the payment."""
        try:
            wanted, token = asked.wanted(), asked.payment.token
            owner, test = caller.subject, caller.test
            written = await ordering.place(database, owner, wanted, token, idempotency_key, test=test)
        except ordering.KeyReused as reused:
            detail = "This `Idempotency-Key` belongs to another order: take a new one."
            raise Problem(422, "Idempotency key reused", detail=detail) from reused
        except UnknownProducts as unknown:
            errors = [
                {"pointer": f"#/items/{number}/sku", "detail": f"`{item.sku}` is not in the catalogue"}
                for number, item in enumerate(asked.items)
                if item.sku in unknown.skus
            ]
            raise Problem(409, "Unknown products", detail=str(unknown), errors=errors) from unknown
        return _accepted(written, response)

    @routes.post(
        "/{order_id}/cancel",
        status_code=202,
        dependencies=[Depends(idempotent)],
        responses={400: PROBLEMS[400], 404: PROBLEMS[404], 409: CONFLICT, 412: declared("`If-Match` does not match.")},
    )
    async def cancel(
        order_id: OrderId,
        caller: Writer,
        response: Response,
        asked: CancelRequest | None = None,
        if_match_header: Annotated[str | None, Header(alias="If-Match", max_length=200)] = None,
    ) -> AcceptedOrder:
        """Cancel a pending or a confirmed order: payment and stock go back, then it is cancelled."""
        asked = asked or CancelRequest()
        order = await _owned(database, order_id, caller)
        if_match(if_match_header, order.version)
        expected = asked.expected_version or (order.version if if_match_header else None)
        try:
            written = await ordering.cancel(database, order_id, asked.reason, expected)
        except IllegalTransition as illegal:
            raise Problem(409, "Illegal transition", detail=str(illegal)) from illegal
        except VersionConflict as conflict:
            raise Problem(409, "Version conflict", detail=str(conflict)) from conflict
        return _accepted(written, response)

    return routes


def questions(database: Database, freshness: Freshness) -> APIRouter:
    """Make the routes that read orders."""
    routes = APIRouter(prefix="/api/orders", tags=["orders"])

    @routes.get("", responses=FRESHNESS_PROBLEMS)
    async def list_orders(
        *,
        request: Request,
        response: Response,
        caller: Reader,
        status: Status | None = None,
        limit: Limit = 20,
        cursor: Cursor = None,
        test: Annotated[bool, Query(description="For administrators: those of test accounts instead.")] = False,
        token: Token = None,
    ) -> Page[OrderAnswer]:
        """List orders, the newest first: a user's own; all orders for administrators."""
        await freshness.demand("orders", token)
        before = decode_cursor(cursor, int)[0] if cursor else None
        owner = caller.subject if caller.is_user and not caller.is_admin else None
        rows = await queries.orders(database, user_id=owner, status=status, before=before, limit=limit + 1, test=test)
        following = encode_cursor(rows[limit - 1]["placed_position"]) if len(rows) > limit else None
        response.headers.update(link_header(request.url, following))
        return Page(items=[OrderAnswer.of_row(row) for row in rows[:limit]], next=following)

    @routes.get("/{order_id}", responses={404: PROBLEMS[404], **FRESHNESS_PROBLEMS})
    async def read(
        order_id: OrderId,
        caller: Reader,
        response: Response,
        as_of: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="A version: the order as it was.")] = None,
        token: Token = None,
    ) -> OrderAnswer:
        """Return an order, as it is or (`as_of`) as it was at a version."""
        if as_of is not None:
            return OrderAnswer.of_order(await _as_of(database, order_id, caller, as_of))
        await freshness.demand("orders", token)
        row = await queries.order(database, order_id)
        if row is None:
            await freshness.latest("orders")
            row = await queries.order(database, order_id)
        if row is None:
            raise no_such_order(order_id)
        check_owner(caller, row["user_id"], order_id)
        response.headers["ETag"] = etag(row["version"])
        return OrderAnswer.of_row(row)

    @routes.get("/{order_id}/events", responses={404: PROBLEMS[404]})
    async def events(order_id: OrderId, caller: Reader) -> Page[OrderEventAnswer]:
        """Return everything that ever happened to an order, in order."""
        await _owned(database, order_id, caller)
        async with database.acquire() as connection:
            recorded = await event_store.read_stream(connection, ORDER.stream(order_id))
        return Page(items=[OrderEventAnswer.of_recorded(each) for each in recorded])

    return routes


async def _owned(database: Database, order_id: str, caller: Reader) -> Order:
    async with database.acquire() as connection:
        order = await load(connection, ORDER, order_id)
    if order is None:
        raise no_such_order(order_id)
    check_owner(caller, order.user_id, order_id)
    return order


async def _as_of(database: Database, order_id: str, caller: Reader, version: int) -> Order:
    latest = await _owned(database, order_id, caller)
    if version > latest.version:
        detail = f"Order `{order_id}` is at version {latest.version}; there is no version {version} yet."
        raise Problem(404, "No such version", detail=detail)
    async with database.acquire() as connection:
        order = await load_as_of(connection, ORDER, order_id, version)
    assert order is not None, "a version up to the latest exists"
    return order


def _accepted(written: ordering.Written, response: Response) -> AcceptedOrder:
    response.headers["Location"] = f"/api/orders/{written.order.id}"
    response.headers["ETag"] = etag(written.order.version)
    response.headers[RESPONSE_HEADER] = str(written.position)
    return AcceptedOrder.of_written(written)
