"""`/api/notifications`: send a message, and see what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Query, Request, Response

from chassis.auth import Principal
from chassis.idempotency import idempotent
from chassis.paging import Page, decode_cursor, encode_cursor, link_header
from chassis.problem import PROBLEMS, Problem, declared
from service import messages
from service.access import Administrator, Caller, Sender, is_admin
from service.composing import CannotSendError, Order
from service.parts import Parts, TheParts
from service.providers.sandbox import recorded
from service.shapes import (
    Channel,
    ChannelState,
    Cursor,
    Limit,
    Notification,
    NotificationDetail,
    OfTests,
    RecordedMessage,
    Send,
    Status,
    detail,
    recording,
    state,
    summary,
)
from service.text import Text, clean

router = APIRouter(prefix="/api/notifications", tags=["notifications"], responses={401: PROBLEMS[401]})


@router.post(
    "", status_code=202, responses={403: PROBLEMS[403], 422: PROBLEMS[422]}, dependencies=[Depends(idempotent)]
)
async def send(body: Send, principal: Sender, parts: TheParts, response: Response) -> Notification:
    """Queue a message. It is rendered now and delivered soon; `GET` it to see what became of it."""
    order = Order(
        channel=body.channel,
        template=body.template,
        to=body.to,
        data=body.data,
        locale=body.locale,
        user_id=body.user_id,
        requested_by=principal.subject,
    )
    try:
        async with parts.database.transaction() as connection:
            queued = await parts.composer.queue(connection, order)
            message = await messages.get(connection, queued or "")
    except CannotSendError as error:
        errors = [{"pointer": f"#/{error.field}", "detail": str(error)}]
        raise Problem(422, "Cannot be sent", detail=str(error), errors=errors) from None
    assert message is not None
    response.headers["Location"] = f"/api/notifications/{message.id}"
    return Notification(**summary(message))


@router.get("", responses={422: PROBLEMS[422]})
async def listed(
    *,
    request: Request,
    response: Response,
    principal: Caller,
    parts: TheParts,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Status | None = None,
    channel: Channel | None = None,
    test: OfTests = False,
) -> Page[Notification]:
    """List messages, newest first: one's own; all of them for administrators."""
    visible_to = None if is_admin(principal) else principal.subject
    async with parts.database.acquire() as connection:
        rows = await messages.page(
            connection, _position(cursor), limit + 1, visible_to=visible_to, status=status, channel=channel, test=test
        )
    following = encode_cursor(rows[limit - 1].created_at.isoformat(), rows[limit - 1].id) if rows[limit:] else None
    response.headers.update(link_header(request.url, following))
    return Page(items=[Notification(**summary(row)) for row in rows[:limit]], next=following)


@router.get("/channels")
async def channels(parts: TheParts, _caller: Caller) -> Page[ChannelState]:
    """List the channels that are on, and whether their messages really leave the platform."""
    return Page(items=[state(channel, parts.providers.get(channel)) for channel in get_args(Channel)])


@router.get("/recorded", responses={403: PROBLEMS[403], 422: PROBLEMS[422]})
async def of_sandbox(
    *,
    request: Request,
    response: Response,
    parts: TheParts,
    _admin: Administrator,
    limit: Limit = 50,
    cursor: Cursor = None,
    channel: Channel | None = None,
    to: Annotated[Text | None, Query(max_length=1024)] = None,
    test: OfTests = False,
) -> Page[RecordedMessage]:
    """List what the sandbox providers recorded, newest first (administrators)."""
    async with parts.database.acquire() as connection:
        rows = await recorded(connection, _position(cursor), limit + 1, channel=channel, to=to, test=test)
    following = encode_cursor(rows[limit - 1].recorded_at.isoformat(), rows[limit - 1].id) if rows[limit:] else None
    response.headers.update(link_header(request.url, following))
    return Page(items=[recording(row) for row in rows[:limit]], next=following)


@router.get("/{notification_id}", responses={404: PROBLEMS[404]})
async def one(notification_id: Text, principal: Caller, parts: TheParts) -> NotificationDetail:
    """Show a message with its text and its timeline."""
    return await _detail(parts, notification_id, principal)


@router.post(
    "/{notification_id}/retry",
    status_code=202,
    responses={403: PROBLEMS[403], 404: PROBLEMS[404], 409: declared("The message has not failed.")},
)
async def retry(notification_id: Text, principal: Administrator, parts: TheParts) -> NotificationDetail:
    """Queue a failed message again (administrators)."""
    async with parts.database.transaction() as connection:
        done = await messages.requeue(connection, notification_id)
    shown = await _detail(parts, notification_id, principal)
    if not done:
        raise Problem(409, "Not failed", detail=f"The message is {shown.status}; only a failed one is sent again.")
    return shown


async def _detail(parts: Parts, notification_id: str, principal: Principal) -> NotificationDetail:
    async with parts.database.acquire() as connection:
        message = await messages.get(connection, notification_id)
        timeline = await messages.timeline(connection, notification_id)
    mine = message is not None and principal.subject in {message.user_id, message.requested_by}
    if message is None or not (mine or is_admin(principal)):
        raise Problem(404, detail=f"There is no notification `{notification_id}`.")
    return detail(message, timeline)


def _position(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    try:
        at, key = decode_cursor(cursor, str, str)
        return datetime.fromisoformat(at), clean(key)
    except ValueError:
        raise Problem(422, "Unacceptable values", detail="The cursor is not one of ours.") from None
