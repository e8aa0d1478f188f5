"""A small service behind the gateway: echoes its requests, and misbehaves when told to.

Run by itself (`python backend.py`) it is a whole instance: a service of the chassis, registered with a lease.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from chassis.app import Service, serve
from chassis.settings import Settings, load


class Echo:
    """An ASGI app that answers what it got. `failures` 503s come first; while `asleep` nothing is answered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failures = 0
        self.healthy = True
        self.asked: list[str] = []
        self.release = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or WebSocket."""
        if scope["type"] == "websocket":
            await self._talk(receive, send)
            return
        if scope["path"].endswith("/events"):
            await self._stream(send)
            return
        size = await _size(receive)
        if scope["path"] == "/health/ready":
            await _send(send, 200 if self.healthy else 503, {"status": "ready" if self.healthy else "unready"})
            return
        self.asked.append(f"{scope['method']} {scope['path']}")
        if scope["path"].endswith("/slow"):
            await self.release.wait()
        if self.failures:
            self.failures -= 1
            await _send(send, 503, {"instance": self.name})
            return
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        told = {"instance": self.name, "method": scope["method"], "path": scope["path"], "headers": headers}
        await _send(send, 200, {**told, "query": scope["query_string"].decode(), "size": size})

    async def _talk(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": f"{self.name} heard {message.get('text')}"})
        await send({"type": "websocket.close", "code": 1000})

    async def _stream(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
        await self.release.wait()
        await send({"type": "http.response.body", "body": b"data: last\n\n"})


async def _size(receive: Receive) -> int:
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return size


async def _send(send: Send, status: int, value: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


def main() -> None:
    """Run as an instance with a lease."""
    settings = load(Settings)
    service = Service(settings, title="Backend", version="1", routes=(f"/{settings.service}",))
    router = APIRouter()

    @router.get(f"/{settings.service}")
    async def who(request: Request) -> dict[str, str]:
        return {"instance": settings.instance_name, "path": request.url.path}

    @router.get(f"/{settings.service}/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter([b"data: 1\n\n"]), media_type="text/event-stream")

    serve(service.app(router), settings)


if __name__ == "__main__":
    main()
