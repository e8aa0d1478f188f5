"""Watches: what is there, then each change as it happens, then a bookmark."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

from aiohttp.web import Request, StreamResponse

from onenode.kinds import Kind, Object
from onenode.statuses import RefusedError
from onenode.store import Change, Store

_LONGEST = 1800.0  # seconds, where nobody says how long


async def watch(  # noqa: C901 - each way that a watch begins and ends
    request: Request, store: Store, kind: Kind, wanted: Callable[[Object], bool]
) -> StreamResponse:
    """Stream the events of the objects of a kind that are wanted, until the time is over or nobody listens."""
    response = StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + float(request.query.get("timeoutSeconds") or _LONGEST)
    start = request.query.get("resourceVersion", "")
    version = store.version if start in ("", "0") else int(start)
    if start in ("", "0"):
        for body in store.list(kind.name):
            if wanted(body):
                await _send(response, "ADDED", body)
        if request.query.get("sendInitialEvents") == "true":
            await _mark(response, kind, version, {"k8s.io/initial-events-end": "true"})
    try:
        while (left := deadline - loop.time()) > 0:
            changes = store.since(version)
            version = store.version
            for change in changes:
                for how, body in _seen(change, kind, wanted):
                    await _send(response, how, body)
            await store.changed(version, left)
        if request.query.get("allowWatchBookmarks") == "true":
            await _mark(response, kind, version, {})
    except RefusedError as error:
        await _send(response, "ERROR", error.status)
    except ConnectionError:  # nobody listens any more
        return response
    await response.write_eof()
    return response


def _seen(change: Change, kind: Kind, wanted: Callable[[Object], bool]) -> Iterator[tuple[str, Object]]:
    """Tell what a change is to who sees only what is wanted."""
    if change.kind is not kind:
        return
    before = change.before is not None and wanted(change.before)
    after = change.after is not None and wanted(change.after)
    if after and change.after is not None:
        yield ("MODIFIED" if before else "ADDED"), change.after
    elif before and change.before is not None:
        body = change.before
        yield "DELETED", {**body, "metadata": {**body["metadata"], "resourceVersion": str(change.version)}}


async def _mark(response: StreamResponse, kind: Kind, version: int, annotations: Object) -> None:
    metadata = {"resourceVersion": str(version)} | ({"annotations": annotations} if annotations else {})
    await _send(response, "BOOKMARK", {"kind": kind.name, "apiVersion": kind.version, "metadata": metadata})


async def _send(response: StreamResponse, how: str, body: Object) -> None:
    await response.write(json.dumps({"type": how, "object": body}).encode() + b"\n")
