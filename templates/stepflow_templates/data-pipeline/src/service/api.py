"""`/api/reports`: what the warehouse knows, as JSON, CSV or Parquet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, Field

from chassis.auth import Principal, authenticated
from chassis.bus import Bus
from chassis.paging import Page, decode_cursor, encode_cursor, link_header
from chassis.problem import PROBLEMS, Problem, declared
from service import formats, freshness, reports
from service.freshness import Freshness
from service.pipeline import Pipeline
from service.reports import FIRST, LAST, REPORTS, Span
from service.warehouse import QueryTimeoutError, Warehouse, rows_of

SCOPE = "reports:read"


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the running service; kept as `app.state.parts`."""

    bus: Bus
    warehouse: Warehouse
    pipeline: Pipeline
    query_timeout: float


async def parts_of(request: Request) -> Parts:
    """Return the parts of the app that received a request."""
    parts: Parts = request.app.state.parts
    return parts


async def reading(principal: Annotated[Principal, Depends(authenticated)]) -> None:
    """Let administrators and clients with the scope `reports:read` pass; raises `Problem` 403."""
    if principal.is_admin or (not principal.is_user and SCOPE in principal.scopes):
        return
    challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{SCOPE}"'}
    detail = f"Reports are for administrators and for clients with the scope `{SCOPE}`."
    raise Problem(403, detail=detail, headers=challenge)


def written_as_a_day(value: object) -> object:
    """Reject numbers, which pydantic would read as seconds since 1970."""
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError(f"`{value[:40]}` is not a day: write it as 2026-03-31")
    return value


class ReportInfo(BaseModel):
    """An available report."""

    name: str
    summary: str
    columns: list[str]
    formats: list[str]
    url: str


class Quarantined(BaseModel):
    """A message that broke the schema contract."""

    stream: str
    sequence: int
    subject: str
    reason: str
    payload: str
    loaded_at: datetime


TheParts = Annotated[Parts, Depends(parts_of)]
Day = Annotated[date, BeforeValidator(written_as_a_day), Field(ge=FIRST, le=LAST)]
DAY = {"type": ["string", "null"], "format": "date"}
ROWS = {"type": "array", "items": {"type": "object"}}
PROPERTIES = {"report": {"type": "string"}, "from": DAY, "to": DAY, "rows": ROWS}
REPORT = {"type": "object", "properties": PROPERTIES, "required": list(PROPERTIES)}
FORMATS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The rows.",
        "content": {
            formats.JSON: {"schema": REPORT},
            formats.CSV: {"schema": {"type": "string"}},
            formats.PARQUET: {"schema": {"type": "string", "format": "binary"}},
        },
    },
    406: declared("None of the offered formats is acceptable."),
}
router = APIRouter(
    prefix="/api/reports",
    tags=["reports"],
    dependencies=[Depends(reading)],
    responses={401: PROBLEMS[401], 403: PROBLEMS[403], 503: declared("The query took too long.")},
)


@router.get("")
async def listed() -> Page[ReportInfo]:
    """List the reports."""
    return Page(
        items=[
            ReportInfo(
                name=report.name,
                summary=report.summary,
                columns=list(report.columns),
                formats=list(formats.OFFERED),
                url=f"/api/reports/{report.name}",
            )
            for report in REPORTS.values()
        ]
    )


@router.get("/freshness")
async def fresh(parts: TheParts) -> Freshness:
    """Return how many seconds the reports are behind, by stream, with rows and rejects."""
    try:
        return await freshness.measure(parts.bus, parts.warehouse, parts.pipeline, parts.query_timeout)
    except QueryTimeoutError as error:
        raise _slow(error) from None


@router.get("/quarantine", responses={422: PROBLEMS[422]})
async def quarantine(
    request: Request,
    response: Response,
    parts: TheParts,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Page[Quarantined]:
    """List messages that broke the schema contract, with the reason, by stream and place."""
    after = decode_cursor(cursor, str, str, int) if cursor else ("", "", 0)
    query = """SELECT stream, created, sequence, subject, reason, payload, loaded_at FROM raw.quarantine
        WHERE (stream, created, sequence) > (?, ?, ?) ORDER BY stream, created, sequence LIMIT ?"""
    found = await _read(parts, query, [*after, limit + 1])
    last = found[limit - 1] if found[limit:] else None
    following = encode_cursor(last["stream"], last["created"], last["sequence"]) if last else None
    response.headers.update(link_header(request.url, following))
    return Page(items=[Quarantined(**row) for row in found[:limit]], next=following)


@router.get("/{name}", response_model=None, responses=FORMATS | {404: PROBLEMS[404], 422: PROBLEMS[422]})
async def one(
    *,
    request: Request,
    parts: TheParts,
    name: Annotated[str, Path(max_length=64, examples=["daily-revenue"])],
    first: Annotated[Day | None, Query(alias="from")] = None,
    last: Annotated[Day | None, Query(alias="to")] = None,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 1000,
    test: Annotated[bool, Query(description="About test accounts, which are in no figure otherwise.")] = False,
) -> Response:
    """Return a report over the days `from` to `to` (UTC, both included; without them over all)."""
    report = REPORTS.get(name)
    if report is None:
        raise Problem(404, detail=f"There is no report `{name}`; there are {', '.join(REPORTS)}.")
    accept = ", ".join(request.headers.getlist("accept"))
    media = formats.preferred(accept)
    if media is None:
        raise Problem(406, detail=f"`{accept[:200]}` accepts none of {', '.join(formats.OFFERED)}.")
    if first and last and first > last:
        raise Problem(422, "Unacceptable values", detail=f"`from` {first} is after `to` {last}.")
    span = Span(first or FIRST, last or LAST, limit, test)
    try:
        if media == formats.PARQUET:
            scratch = parts.warehouse.scratch
            body = await parts.warehouse.read(
                lambda c: formats.as_parquet(c, report, span, scratch), parts.query_timeout
            )
            return _file(body, media, f"{name}.parquet")
        found = await parts.warehouse.read(lambda c: reports.rows(c, report, span), parts.query_timeout)
    except QueryTimeoutError as error:
        raise _slow(error) from None
    if media == formats.CSV:
        return _file(formats.as_csv(report.columns, found), f"{media}; charset=utf-8; header=present", f"{name}.csv")
    shown = jsonable_encoder({"report": name, "from": first, "to": last, "rows": found})
    return JSONResponse(shown, headers={"Vary": "Accept"})


def _file(body: bytes, media: str, name: str) -> Response:
    disposition = f'attachment; filename="{name}"'
    return Response(body, media_type=media, headers={"Content-Disposition": disposition, "Vary": "Accept"})


async def _read(parts: Parts, query: str, parameters: list[Any]) -> list[dict[str, Any]]:
    try:
        return await parts.warehouse.read(lambda c: rows_of(c, query, parameters), parts.query_timeout)
    except QueryTimeoutError as error:
        raise _slow(error) from None


def _slow(error: QueryTimeoutError) -> Problem:
    return Problem(503, "Query too slow", detail=f"The query was interrupted: {error}.", headers={"Retry-After": "5"})
