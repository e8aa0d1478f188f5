"""The queries of the page, open to any caller with the right token."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from chassis.auth import Principal, authenticated
from chassis.paging import Page, decode_cursor, encode_cursor, link_header
from chassis.problem import PROBLEMS, Problem
from service import log_search, metric_query, red, traces
from service.database import TooSlowError, reader
from service.metric_query import Statistic
from service.models import LogView, MetricNames, MetricView, Operations, Overview, TraceSummary, TraceView

SCOPE = "telemetry:read"
DAY = 86_400
_TRACE_ID = r"^[0-9a-fA-F]{32}$"

Name = Annotated[str, Query(max_length=200)]
Window = Annotated[int, Query(ge=60, le=366 * DAY, description="How far back, in seconds.")]
Cursor = Annotated[str, Query(max_length=200)]
Limit = Annotated[int, Query(ge=1, le=500)]


async def may_read(caller: Annotated[Principal, Depends(authenticated)]) -> None:
    """Let administrators pass, and clients whose token has the scope."""
    if not caller.is_admin and SCOPE not in caller.scopes:
        challenge = f'Bearer error="insufficient_scope", scope="{SCOPE}"'
        detail = f"This needs the role `admin` or the scope `{SCOPE}`."
        raise Problem(403, detail=detail, headers={"WWW-Authenticate": challenge})


def api_router(folder: Path, own: str) -> APIRouter:
    """Make the routes that answer from the file in this folder. `own` is the service itself: looking at telemetry makes
    more of it, which is left out of lists unless it is asked for.
    """
    router = APIRouter(
        prefix="/observability/api", tags=["telemetry"], dependencies=[Depends(may_read)], responses=PROBLEMS
    )
    _traces(router, folder, own)
    _logs(router, folder, own)
    _metrics(router, folder)
    _services(router, folder)
    return router


def _traces(router: APIRouter, folder: Path, own_name: str) -> None:
    @router.get("/traces")
    def search_traces(
        request: Request,
        response: Response,
        *,
        service: Name = "",
        min_ms: Annotated[float, Query(ge=0, le=1e9, allow_inf_nan=False)] = 0.0,
        error: bool | None = None,
        q: Name = "",
        own: bool = False,
        window: Window = 3600,
        limit: Limit = 50,
        cursor: Cursor = "",
    ) -> Page[TraceSummary]:
        """Search traces by service, duration, error, and words in names, attributes or the trace id.

        Requests for telemetry itself are left out unless `own`, or the service, is asked for.
        """
        now = time.time_ns()
        without = "" if own or service == own_name else own_name
        (before,) = decode_cursor(cursor, int) if cursor else (now + DAY * 1_000_000_000,)
        wanted = traces.TraceSearch(
            now - window * 1_000_000_000, _bounded(before), service, min_ms, error, q, limit, without
        )
        found = _ask(folder, lambda connection: traces.search(connection, wanted))
        following = encode_cursor(int(found[-1]["newest_ns"])) if len(found) == limit else None
        response.headers.update(link_header(request.url, following))
        return Page[TraceSummary](items=[TraceSummary.model_validate(item) for item in found], next=following)

    @router.get("/traces/{trace_id}")
    def get_trace(trace_id: str) -> TraceView:
        """Return all spans of one trace."""
        if not re.fullmatch(_TRACE_ID, trace_id):
            raise Problem(404, detail=f"`{trace_id[:64]}` is not a trace id: those have 32 hex digits.")
        spans = _ask(folder, lambda connection: traces.trace(connection, trace_id))
        if not spans:
            raise Problem(404, detail=f"No span of trace `{trace_id}` is here (yet, or any more).")
        return TraceView.model_validate({"trace_id": trace_id.lower(), "spans": spans})


def _logs(router: APIRouter, folder: Path, own_name: str) -> None:
    @router.get("/logs")
    def search_logs(
        request: Request,
        response: Response,
        *,
        service: Name = "",
        q: Name = "",
        trace_id: Annotated[str, Query(pattern=r"^([0-9a-fA-F]{32})?$")] = "",
        severity: Annotated[int, Query(ge=0, le=24)] = 0,
        window: Window = DAY,
        limit: Limit = 100,
        cursor: Cursor = "",
    ) -> Page[LogView]:
        """Search log records by words, service, trace and least severity (OTLP: 9 info, 13 warning, 17 error).

        What this service itself logs below a warning is left out unless the service or a trace is asked for.
        """
        now = time.time_ns()
        before = decode_cursor(cursor, int, int) if cursor else (now + DAY * 1_000_000_000, 0)
        wanted = log_search.LogSearch(
            now - window * 1_000_000_000,
            (_bounded(before[0]), _bounded(before[1])),
            service,
            q,
            trace_id,
            severity,
            limit,
            without="" if service or trace_id else own_name,
        )
        found = _ask(folder, lambda connection: log_search.search(connection, wanted))
        last = found[-1] if len(found) == limit else None
        following = encode_cursor(int(last["time_ns"]), last["id"]) if last else None
        response.headers.update(link_header(request.url, following))
        return Page[LogView](items=[LogView.model_validate(item) for item in found], next=following)


def _metrics(router: APIRouter, folder: Path) -> None:
    @router.get("/metrics")
    def get_metrics(
        name: Name = "", service: Name = "", statistic: Statistic | None = None, window: Window = 3600
    ) -> MetricView | MetricNames:
        """Without a name: list the metrics. With one: its series."""
        if not name:
            found = _ask(folder, metric_query.names)
            return MetricNames.model_validate({"items": found})
        now = int(time.time())
        try:
            series = _ask(
                folder,
                lambda connection: metric_query.series(connection, name, service, statistic, (now - window, now)),
            )
        except ValueError as error:
            errors = [{"pointer": "query/statistic", "detail": str(error)}]
            raise Problem(422, "Unacceptable values", detail=str(error), errors=errors) from error
        if series is None:
            raise Problem(404, detail=f"No metric is called `{name}`" + (f" in `{service}`." if service else "."))
        return MetricView.model_validate(series)


def _services(router: APIRouter, folder: Path) -> None:
    @router.get("/services")
    def get_services(window: Window = 900) -> Overview:
        """Return the rate, errors and duration of each service, and which service calls which."""
        until = int(time.time())
        since = until - window
        found = _ask(folder, lambda connection: red.overview(connection, since, until))
        times = {"since": traces.timestamp(since * 1_000_000_000), "until": traces.timestamp(until * 1_000_000_000)}
        return Overview.model_validate(found | times)

    @router.get("/services/{service}")
    def get_operations(service: str, window: Window = 900) -> Operations:
        """Return the same figures for each operation of one service."""
        until = int(time.time())
        items = _ask(folder, lambda connection: red.operations(connection, service, until - window, until))
        return Operations.model_validate({"items": items})


def _ask(folder: Path, question: Any) -> Any:  # noqa: ANN401 - of the query's own type
    try:
        with reader(folder) as connection:
            return question(connection)
    except TooSlowError as error:
        detail = f"The query was aborted: {error}. Ask for a shorter time or for one service."
        raise Problem(503, detail=detail, headers={"Retry-After": "1"}) from error


def _bounded(number: int) -> int:
    """Keep what a cursor says within SQLite's integers."""
    return max(-(2**63), min(number, 2**63 - 1))
