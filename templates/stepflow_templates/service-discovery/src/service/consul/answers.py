"""Consul's blocking queries: JSON with an index, held open for a query that already knows the current one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from service.consul.durations import seconds
from service.state import State

DEFAULT_WAIT, LONGEST_WAIT = 300.0, 600.0  # seconds, as Consul has them


class Refusal(Exception):  # noqa: N818 - a refusal, in Consul's plain text, is what the client gets
    """An answer other than 200."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def refused(_request: Request, error: Exception) -> Response:
    """Make the app answer errors in plain text, as Consul does."""
    assert isinstance(error, Refusal)
    return PlainTextResponse(str(error), error.status)


def flag(request: Request, name: str) -> bool:
    """Return whether a query parameter is set, as `?passing` or `?passing=1`, not `0` or `false`."""
    return request.query_params.get(name, "0").lower() not in {"0", "false"}


def answer(value: object, index: int) -> Response:
    """Return JSON with the index that the next query may wait for."""
    headers = {"X-Consul-Index": str(index), "X-Consul-KnownLeader": "true", "X-Consul-LastContact": "0"}
    return Response(json.dumps(value), media_type="application/json", headers=headers)


async def blocking(request: Request, state: State, read: Callable[[], object]) -> Response:
    """Answer at once, or with `?index=N` when the registry has moved on from N, at the latest after `?wait=`."""
    known, wait = wanted(request)
    if known:
        await state.until(lambda: state.registry.index != known, wait)
    return answer(read(), max(state.registry.index, 1))


def wanted(request: Request) -> tuple[int, float]:
    """Return the index that the client knows (0: none), and how many seconds it waits for another."""
    try:
        known = int(request.query_params.get("index") or 0)
        wait = seconds(request.query_params.get("wait") or "")
    except ValueError as error:
        raise Refusal(400, f"Invalid index or wait: {error}") from error
    return known, min(wait or DEFAULT_WAIT, LONGEST_WAIT)


async def body(request: Request) -> dict[str, Any]:
    """Return the JSON object that a client sent, whatever its media type."""
    try:
        told = json.loads(await request.body())
    except ValueError as error:
        raise Refusal(400, f"Request decode failed: {error}") from error
    if not isinstance(told, dict):
        raise Refusal(400, "Request decode failed: not a JSON object")
    return told
