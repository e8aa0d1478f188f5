"""The audit log for administrators, and for clients that watch the platform."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from chassis.auth import Principal, require_scope
from chassis.paging import Page, decode_cursor, encode_cursor, link_header
from chassis.problem import PROBLEMS, Problem
from service.storage import Storage

SCOPE = "telemetry:read"


class Entry(BaseModel):
    """One entry: what happened to which client, requested from where."""

    id: int
    at: datetime
    event: str
    client_id: str
    address: str
    detail: dict[str, Any]


async def _reader(caller: Annotated[Principal, Depends(require_scope(SCOPE))]) -> Principal:
    if caller.is_user and not caller.is_admin:
        raise Problem(403, detail="This needs the role `admin`.")
    return caller


def router(storage: Storage) -> APIRouter:
    """The list, newest first."""
    routes = APIRouter(tags=["audit"])

    @routes.get("/api/audit", dependencies=[Depends(_reader)], responses={422: PROBLEMS[422]})
    async def entries(
        request: Request,
        response: Response,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str, Query(max_length=200)] = "",
    ) -> Page[Entry]:
        """Tokens issued, denied and revoked."""
        before = decode_cursor(cursor, int)[0] if cursor else None
        rows = await storage.audit(before, limit + 1)
        following = encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None
        response.headers.update(link_header(request.url, following))
        return Page[Entry](items=[Entry(**row) for row in rows[:limit]], next=following)

    return routes
