"""`Idempotency-Key` (IETF draft-ietf-httpapi-idempotency-key-header): a creating request, repeated, has one effect.

`dependencies=[Depends(idempotent)]` on a route is enough. Same key and body: the same answer again; another body: 422;
while the first is still being answered: 409. Neither keys nor bodies are stored, only their digests.

The process that answers the first request holds its key by a lease, which it renews: when it is killed the key is
soon free, and however long an answer takes no other process starts the same request.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import asyncpg
from fastapi import Header, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.database import Database
from chassis.problem import Problem

log = logging.getLogger(__name__)
KEPT = "24 hours"
LEASE = 8.0  # seconds without a renewal after which a key's holder counts as dead
RENEW_EVERY = 2.0  # seconds
PURGE_EVERY = 600.0  # seconds
KEPT_HEADERS = frozenset({b"content-type", b"location", b"etag", b"link"})


@dataclass(frozen=True, slots=True)
class Reservation:
    """A key that this request holds; its answer is to be stored."""

    database: Database
    owner: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer given before."""

    status: int
    headers: list[list[str]]
    body: bytes


class Replay(Exception):  # noqa: N818 - not an error: it takes the answer past the route
    """Carries the stored answer."""

    def __init__(self, stored: Stored) -> None:
        super().__init__()
        self.stored = stored


async def idempotent(
    request: Request,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, description="Repeat it to repeat the request safely.")
    ] = None,
) -> None:
    """Make a route idempotent for requests that send the header; others pass."""
    if idempotency_key is None:
        return
    database: Database = request.app.state.service.main_database
    caller = request.headers.get("authorization", "")
    owner = _digest(f"{request.method} {request.url.path} {_subject(request, caller)}".encode())
    key = _digest(idempotency_key.encode())
    fingerprint = hmac.digest(idempotency_key.encode(), await request.body(), "sha256")
    async with database.transaction() as connection:
        row = await _reserve(connection, owner, key, fingerprint)
    if row is None:
        request.scope["state"]["reservation"] = Reservation(database, owner, key)
    elif not hmac.compare_digest(row["fingerprint"], fingerprint):
        raise Problem(422, "Idempotency key reused", detail="This key was used with another body: take a new one.")
    elif row["status"] is None:
        detail = "The first request with this key is still being answered."
        raise Problem(409, "Request in progress", detail=detail, headers={"Retry-After": "1"})
    else:
        raise Replay(Stored(row["status"], row["headers"], row["body"]))


async def _reserve(
    connection: asyncpg.Connection, owner: bytes, key: bytes, fingerprint: bytes
) -> asyncpg.Record | None:
    """Take the key and return None, or return what is known of it."""
    await connection.execute(
        f"DELETE FROM idempotency_keys WHERE owner = $1 AND key = $2 AND (created_at < now() - interval '{KEPT}'"  # noqa: S608 - constants
        f" OR (status IS NULL AND created_at < now() - interval '{LEASE:g} seconds'))",
        owner,
        key,
    )
    taken = await connection.fetchval(
        "INSERT INTO idempotency_keys (owner, key, fingerprint) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING RETURNING true",
        owner,
        key,
        fingerprint,
    )
    if taken:
        return None
    return await connection.fetchrow(
        "SELECT fingerprint, status, headers, body FROM idempotency_keys WHERE owner = $1 AND key = $2", owner, key
    )


def _subject(request: Request, authorization: str) -> str:
    """Name the caller, so that keys of different callers do not collide. A renewed token keeps its subject."""
    from chassis.auth.tokens import InvalidTokenError  # noqa: PLC0415 - auth is loaded with the app

    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return ""
    try:
        return str(request.app.state.service.tokens.verify(token)["sub"])
    except InvalidTokenError:
        return ""


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


class IdempotencyMiddleware:
    """Stores the answer of a request that holds a key, before it is sent; returns stored answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what has nothing to do with keys."""
        if scope["type"] != "http" or not any(name == b"idempotency-key" for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        held: list[Message] = []

        async def keep(message: Message) -> None:
            reservation = state.get("reservation")
            if reservation is None:
                await send(message)
                return
            held.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                await _finish(reservation, held)
                state["reservation"] = None
                for one in held:
                    await send(one)

        renewing = asyncio.create_task(_renew(state))
        try:
            await self._app(scope, receive, keep)
        except Replay as replay:
            await _replay(replay.stored, send)
        except BaseException:
            if state.get("reservation") is not None:
                await _release(state["reservation"])
            raise
        finally:
            renewing.cancel()


async def _renew(state: Mapping[str, Any]) -> None:
    """Renew the lease of a request's key, if it holds one, until cancelled."""
    while True:
        await asyncio.sleep(RENEW_EVERY)
        reservation: Reservation | None = state.get("reservation")
        if reservation is None:
            continue
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):  # retried next time
            async with reservation.database.acquire() as connection:
                await connection.execute(
                    "UPDATE idempotency_keys SET created_at = now() WHERE owner = $1 AND key = $2 AND status IS NULL",
                    reservation.owner,
                    reservation.key,
                )


async def _finish(reservation: Reservation, messages: list[Message]) -> None:
    """Store a success; forget the key after a failure, so that the request can be repeated."""
    start = messages[0]
    if start["status"] >= 400:  # noqa: PLR2004 - RFC 9110
        await _release(reservation)
        return
    headers: list[Any] = [[n.decode("latin-1"), v.decode("latin-1")] for n, v in start["headers"] if n in KEPT_HEADERS]
    body = b"".join(message.get("body", b"") for message in messages[1:])
    async with reservation.database.acquire() as connection:
        await connection.execute(
            "UPDATE idempotency_keys SET status = $3, headers = $4, body = $5 WHERE owner = $1 AND key = $2",
            reservation.owner,
            reservation.key,
            start["status"],
            headers,
            body,
        )


async def _release(reservation: Reservation) -> None:
    async with reservation.database.acquire() as connection:
        await connection.execute(
            "DELETE FROM idempotency_keys WHERE owner = $1 AND key = $2 AND status IS NULL",
            reservation.owner,
            reservation.key,
        )


async def _replay(stored: Stored, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in stored.headers]
    headers += [(b"content-length", str(len(stored.body)).encode()), (b"idempotency-replayed", b"true")]
    await send({"type": "http.response.start", "status": stored.status, "headers": headers})
    await send({"type": "http.response.body", "body": stored.body})


async def purge_keys(database: Database) -> None:
    """Delete what is older than a day, every ten minutes, until cancelled."""
    while True:
        async with database.acquire() as connection:
            await connection.execute(
                f"DELETE FROM idempotency_keys WHERE created_at < now() - interval '{KEPT}'"  # noqa: S608 - a constant
            )
        await asyncio.sleep(PURGE_EVERY)
