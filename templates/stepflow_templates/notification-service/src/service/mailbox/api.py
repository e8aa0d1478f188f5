"""`/mailbox`: the page, and the mails as JSON for administrators."""

from __future__ import annotations

import asyncio
from datetime import datetime
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from chassis.paging import Page, decode_cursor, encode_cursor, link_header
from chassis.problem import PROBLEMS, Problem
from service.access import administering
from service.mailbox.store import Kept, MailStore, body, header, parse

PAGE = files("service.mailbox").joinpath("page.html").read_text(encoding="utf-8")
# The mail's HTML is shown in a sandboxed frame that inherits this policy: it runs no script and loads nothing.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
NEWEST = "~"  # above every id

pages = APIRouter(tags=["pages"])
router = APIRouter(
    prefix="/mailbox/api",
    tags=["mailbox"],
    dependencies=[Depends(administering)],
    responses={status: PROBLEMS[status] for status in (401, 403, 422)},
)


class Mail(BaseModel):
    """A mail as it is listed; `from` and `to` are the envelope's."""

    model_config = ConfigDict(populate_by_name=True)

    id: str
    sender: str = Field(serialization_alias="from")
    to: list[str]
    subject: str
    received_at: datetime
    size: int


class MailDetail(Mail):
    """A mail with its text and its headers."""

    message_id: str
    text: str
    html: str
    headers: list[tuple[str, str]]


class Cleared(BaseModel):
    """How many mails were removed."""

    removed: int


async def store_of(request: Request) -> MailStore:
    """Return the store of the app that received a request."""
    store: MailStore = request.app.state.mails
    return store


Store = Annotated[MailStore, Depends(store_of)]


@pages.get("/mailbox", response_class=HTMLResponse)
@pages.get("/mailbox/", response_class=HTMLResponse, include_in_schema=False)
async def page() -> HTMLResponse:
    """Show the page; it holds no mail: the browser fetches mails with the person's token."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"})


@router.get("/messages")
async def listed(
    *,
    request: Request,
    response: Response,
    store: Store,
    to: Annotated[str | None, Query(max_length=320, description="An address of the envelope.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    test: Annotated[bool, Query(description="Those to test accounts instead.")] = False,
) -> Page[Mail]:
    """List mails, newest first."""
    before = str(decode_cursor(cursor, str)[0]) if cursor else NEWEST
    rows = await asyncio.to_thread(store.page, before, limit + 1, to, test=test)
    following = encode_cursor(rows[limit - 1].id) if rows[limit:] else None
    response.headers.update(link_header(request.url, following))
    return Page(items=[Mail(**_summary(row)) for row in rows[:limit]], next=following)


@router.get("/messages/{mail_id}", responses={404: PROBLEMS[404]})
async def one(mail_id: str, store: Store) -> MailDetail:
    """Show a mail."""
    kept, raw = await _found(store, mail_id)
    mail = parse(raw)
    return MailDetail(
        **_summary(kept),
        message_id=header(mail, "Message-ID"),
        text=body(mail, "plain"),
        html=body(mail, "html"),
        headers=[(name, header(mail, name)) for name in dict.fromkeys(mail.keys())],
    )


@router.get(
    "/messages/{mail_id}/raw",
    response_class=Response,
    responses={200: {"content": {"message/rfc822": {}}}, 404: PROBLEMS[404]},
)
async def raw_mail(mail_id: str, store: Store) -> Response:
    """Return a mail as it arrived."""
    _, raw = await _found(store, mail_id)
    disposition = f'attachment; filename="{mail_id}.eml"'
    return Response(raw, media_type="message/rfc822", headers={"Content-Disposition": disposition})


@router.delete("/messages")
async def clear(store: Store) -> Cleared:
    """Remove all mails."""
    return Cleared(removed=await asyncio.to_thread(store.clear))


async def _found(store: MailStore, mail_id: str) -> tuple[Kept, bytes]:
    found = await asyncio.to_thread(store.get, mail_id)
    if found is None:
        raise Problem(404, detail=f"There is no mail `{mail_id}`.")
    return found


def _summary(kept: Kept) -> dict[str, Any]:
    return {
        "id": kept.id,
        "sender": kept.sender,
        "to": list(kept.to),
        "subject": kept.subject,
        "received_at": kept.received_at,
        "size": kept.size,
    }
