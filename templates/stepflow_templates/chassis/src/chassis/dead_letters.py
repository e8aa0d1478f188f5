"""Dead letters of one service, for administrators: list, replay, discard."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError
from pydantic import BaseModel

from chassis.auth import require_role
from chassis.consumer import Consumer
from chassis.events.event import Event, Reject
from chassis.paging import Page, decode_cursor, encode_cursor, link_header
from chassis.problem import PROBLEMS, Problem

if TYPE_CHECKING:
    from chassis.app import Service

STREAM = "dead"
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
Limit = Annotated[int, Query(ge=1, le=100)]


class DeadLetter(BaseModel):
    """An event that a consumer gave up on, and why."""

    id: int
    type: str
    consumer: str
    reason: str
    attempts: int
    died_at: datetime
    event: Any


def dead_letters_router(service: Service) -> APIRouter:
    """Make the routes; all need the role `admin`."""
    router = APIRouter(
        prefix="/dead-letters",
        tags=["operations"],
        dependencies=[Depends(require_role("admin"))],
        responses={code: PROBLEMS[code] for code in (401, 403)},
    )
    letters = DeadLetters(service)

    @router.get("")
    async def list_dead_letters(
        request: Request, response: Response, limit: Limit = 20, cursor: str | None = None
    ) -> Page[DeadLetter]:
        """List the events that this service gave up on, the oldest first."""
        after = decode_cursor(cursor, int)[0] if cursor else 0
        found = await letters.after(after, limit + 1)
        following = encode_cursor(found[limit - 1].id) if len(found) > limit else None
        response.headers.update(link_header(request.url, following))
        return Page(items=found[:limit], next=following)

    @router.post("/{number}/replay", status_code=204, responses={404: PROBLEMS[404], 409: PROBLEMS[400]})
    async def replay(number: Number) -> Response:
        """Deliver the event to its consumer again; on success it stops being a dead letter. 409 says why not."""
        await letters.replay(number)
        return Response(status_code=204)

    @router.delete("/{number}", status_code=204, responses={404: PROBLEMS[404]})
    async def discard(number: Number) -> Response:
        """Discard the event."""
        await letters.get(number)
        await letters.discard(number)
        return Response(status_code=204)

    return router


class DeadLetters:
    """The part of the stream `dead` that belongs to one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._prefix = f"dead.{service.settings.service}."

    async def after(self, number: int, limit: int) -> list[DeadLetter]:
        """Return up to `limit` dead letters whose number is higher."""
        await self._service.bus.ensure_stream(STREAM)
        js = await self._service.bus.jetstream()
        found: list[DeadLetter] = []
        while len(found) < limit:
            try:
                message = await js.get_msg(STREAM, seq=number + 1, subject=f"{self._prefix}>", next=True)
            except NotFoundError:
                break
            found.append(_read(message))
            number = found[-1].id
        return found

    async def get(self, number: int) -> RawStreamMsg:
        """Return one of this service's dead letters; `Problem` 404 for any other."""
        await self._service.bus.ensure_stream(STREAM)
        js = await self._service.bus.jetstream()
        try:
            message = await js.get_msg(STREAM, seq=number)
        except NotFoundError:
            message = None
        if message is None or not (message.subject or "").startswith(self._prefix):
            raise Problem(404, detail=f"There is no dead letter {number}.")
        return message

    async def replay(self, number: int) -> None:
        """Handle it again, immediately; raises `Problem` 409 when that fails."""
        message = await self.get(number)
        consumer = self._consumer(_read(message))
        try:
            await consumer.handle(Event.decode(message.data or b""))
        except Reject as error:
            raise Problem(409, "Failed again", detail=error.reason) from error
        except Exception as error:
            raise Problem(409, "Failed again", detail=f"{type(error).__name__}: {error}") from error
        await self.discard(number)

    async def discard(self, number: int) -> None:
        """Delete it from the stream."""
        await (await self._service.bus.jetstream()).delete_msg(STREAM, number)

    def _consumer(self, letter: DeadLetter) -> Consumer:
        for consumer in self._service.consumers:
            if consumer.durable == letter.consumer:
                return consumer
        raise Problem(409, "No consumer", detail=f"There is no consumer `{letter.consumer}` any more.")


def _read(message: RawStreamMsg) -> DeadLetter:
    headers = message.headers or {}
    try:
        event = json.loads(message.data or b"null")
    except ValueError:
        event = (message.data or b"").decode(errors="replace")
    return DeadLetter(
        id=message.seq or 0,
        type=headers.get("Dead-Type", ""),
        consumer=headers.get("Dead-Consumer", ""),
        reason=headers.get("Dead-Reason", ""),
        attempts=int(headers.get("Dead-Attempts", "0")),
        died_at=message.time or datetime.fromtimestamp(0).astimezone(),
        event=event,
    )
