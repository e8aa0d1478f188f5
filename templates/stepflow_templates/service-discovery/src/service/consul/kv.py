"""`/v1/kv/…`: values of any client, in a bucket of their own."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import suppress
from typing import Any

from nats.js.errors import KeyDeletedError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chassis.bus import Bus
from service.consul.answers import Refusal, answer, flag, wanted
from service.registry import quote

BUCKET = "consul-kv"
_SUBJECTS = f"$KV.{BUCKET}."
MAX_VALUE = 512 * 1024  # bytes, as in Consul
MAX_KEY = 512  # bytes, as in Consul; see `entries.MAX_NAME`
Json = dict[str, Any]


class Values:
    """Get, put (also against an index: `cas`), delete; one key, or all under a prefix: `recurse`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def routes(self) -> list[Route]:
        """Make the routes."""
        return [
            Route("/v1/kv/{key:path}", self.get, methods=["GET"]),
            Route("/v1/kv/{key:path}", self.put, methods=["PUT"]),
            Route("/v1/kv/{key:path}", self.delete, methods=["DELETE"]),
        ]

    async def get(self, request: Request) -> Response:
        """Read; `?raw` gives the value itself, `?keys` only names, `?index` waits for a change."""
        bucket, key = await self._bucket(), _key(request)
        known, wait = wanted(request)
        if known:
            await _news(bucket, key, known, wait)
        prefix = flag_given(request, "recurse") or flag_given(request, "keys")
        found = await self._under(bucket, key) if prefix else await self._one(bucket, key)
        index = max([each["ModifyIndex"] for each in found], default=0) or await _last(bucket)
        if not found:
            missing = answer(None, index)
            return Response(status_code=404, headers={"X-Consul-Index": missing.headers["X-Consul-Index"]})
        if flag_given(request, "raw"):
            return Response(base64.b64decode(found[0]["Value"] or ""), media_type="application/octet-stream")
        return answer([each["Key"] for each in found] if flag_given(request, "keys") else found, index)

    async def put(self, request: Request) -> Response:
        """Write; says `false` when the value is not the one that `?cas` names (0: none yet)."""
        bucket, key = await self._bucket(), _key(request)
        value = await request.body()
        if len(value) > MAX_VALUE:
            raise Refusal(413, f"Request body({len(value)} bytes) too large, max size: {MAX_VALUE} bytes.")
        known = next(iter(await self._one(bucket, key)), None)
        cas = _number(request, "cas")
        if cas is not None and cas != (known["ModifyIndex"] if known else 0):
            return answer(value=False, index=await _last(bucket))
        entry = {
            "key": key,
            "value": base64.b64encode(value).decode(),
            "flags": _number(request, "flags") or 0,
            "created": known["CreateIndex"] if known else 0,  # 0: this very revision
        }
        return answer(await self._write(bucket, quote(key), entry, known if cas is not None else None), 1)

    async def delete(self, request: Request) -> Response:
        """Remove; `?cas` as for writing."""
        bucket, key = await self._bucket(), _key(request)
        found = await self._under(bucket, key) if flag_given(request, "recurse") else await self._one(bucket, key)
        cas = _number(request, "cas")
        if cas is not None and [each["ModifyIndex"] for each in found] != [cas]:
            return answer(value=False, index=await _last(bucket))
        for each in found:
            try:
                await bucket.delete(quote(each["Key"]), last=cas)
            except KeyWrongLastSequenceError:
                return answer(value=False, index=await _last(bucket))
        return answer(value=True, index=await _last(bucket))

    async def _write(self, bucket: KeyValue, name: str, entry: Json, expected: Json | None) -> bool:
        value = json.dumps(entry).encode()
        if expected is None:
            await bucket.put(name, value)
            return True
        try:
            await bucket.update(name, value, last=expected["ModifyIndex"])
        except KeyWrongLastSequenceError:
            return False
        return True

    async def _bucket(self) -> KeyValue:
        return await self._bus.key_value(BUCKET)

    async def _one(self, bucket: KeyValue, key: str) -> list[Json]:
        if not key:
            raise Refusal(400, "Missing key name")
        try:
            entry = await bucket.get(quote(key))
        except (KeyNotFoundError, KeyDeletedError):
            return []
        return [_shown(json.loads(entry.value or b"{}"), entry.revision or 0)]

    async def _under(self, bucket: KeyValue, prefix: str) -> list[Json]:
        # Asked of the stream: `bucket.keys()` takes a bucket for empty when its first message comes late.
        js = await self._bus.jetstream()
        stream = await js.stream_info(f"KV_{BUCKET}", subjects_filter=f"{_SUBJECTS}>")
        found = []
        for subject in sorted(stream.state.subjects or {}):
            name = subject.removeprefix(_SUBJECTS)
            if name.startswith(quote(prefix)):
                with suppress(KeyNotFoundError, KeyDeletedError):
                    entry = await bucket.get(name)
                    found.append(_shown(json.loads(entry.value or b"{}"), entry.revision or 0))
        return found


def _key(request: Request) -> str:
    key = str(request.path_params["key"])
    if len(key.encode()) > MAX_KEY:
        raise Refusal(400, f"Key of {len(key.encode())} bytes is too long, max size: {MAX_KEY} bytes.")
    return key


def flag_given(request: Request, name: str) -> bool:
    """Return whether a flag is set; a bare `?recurse` means yes, as in Consul."""
    return name in request.query_params and (request.query_params[name] == "" or flag(request, name))


async def _news(bucket: KeyValue, key: str, known: int, wait: float) -> None:
    """Wait until something at the key, or under it, is newer than what the client knows."""
    watcher = await bucket.watchall()
    try:
        async with asyncio.timeout(wait):
            async for entry in watcher:
                if entry and entry.key.startswith(quote(key)) and (entry.revision or 0) > known:
                    return
    except TimeoutError:
        return
    finally:
        await watcher.stop()  # type: ignore[no-untyped-call]  # nats-py has no annotation there


async def _last(bucket: KeyValue) -> int:
    state = (await bucket.status()).stream_info.state
    return max(state.last_seq, 1)


def _shown(entry: Json, revision: int) -> Json:
    return {
        "LockIndex": 0,
        "Key": entry["key"],
        "Flags": entry["flags"],
        "Value": entry["value"] or None,
        "CreateIndex": entry["created"] or revision,
        "ModifyIndex": revision,
    }


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise Refusal(400, f"Invalid {name}: {text}") from error
