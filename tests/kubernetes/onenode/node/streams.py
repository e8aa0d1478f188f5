"""What only the node can answer of a pod: its logs, and connections to its ports."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from datetime import datetime
from typing import Any

from aiohttp import WSMsgType
from aiohttp.web import Request, Response, StreamResponse, WebSocketResponse

from onenode.kinds import Object
from onenode.node.engine import Engine
from onenode.node.node import Node
from onenode.statuses import RefusedError

_PROTOCOL = "v4.channel.k8s.io"
_CHUNK = 65536


class Streams:
    """Answers for the pods of a node."""

    def __init__(self, node: Node, engine: Engine) -> None:
        self._node, self._engine = node, engine

    async def log(self, request: Request, body: Object) -> StreamResponse:
        """Give what a container wrote."""
        query, name = request.query, body["metadata"]["name"]
        pod = self._node.pods.get(body["metadata"]["uid"])
        previous = query.get("previous") == "true"
        container = query.get("container", "")
        found = pod.container(container, previous=previous) if pod else ""
        named = container or body["spec"]["containers"][0]["name"]
        if not found and previous:
            said = f'previous terminated container "{named}" in pod "{name}" not found'
            raise RefusedError(400, "BadRequest", said)
        if not found:
            waiting = next(
                (each["state"].get("waiting", {}) for each in body["status"].get("containerStatuses", ())), {}
            )
            why = waiting.get("message") or waiting.get("reason") or "ContainerCreating"
            raise RefusedError(400, "BadRequest", f'container "{named}" in pod "{name}" is waiting to start: {why}')
        return await self._written(request, found)

    async def _written(self, request: Request, container: str) -> StreamResponse:
        query = request.query
        options: dict[str, Any] = {
            "stdout": True, "stderr": True, "timestamps": query.get("timestamps") == "true",
            "tail": int(query["tailLines"]) if "tailLines" in query else "all",
        }  # fmt: skip
        if "sinceTime" in query:
            options["since"] = datetime.fromisoformat(query["sinceTime"]).timestamp()
        if query.get("follow") != "true":
            text = await self._engine.ask(lambda api: api.logs(container, **options))
            return Response(body=text, content_type="text/plain")
        response = StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        stream = await self._engine.ask(lambda api: api.logs(container, stream=True, follow=True, **options))
        with suppress(ConnectionError):
            while (piece := await self._engine.ask(lambda _: next(stream, None))) is not None:
                await response.write(piece)
        stream.close()
        return response

    async def forward(self, request: Request, body: Object) -> StreamResponse:
        """Carry connections to ports of a pod; each port has two channels, data and errors."""
        socket = WebSocketResponse(protocols=(_PROTOCOL,), compress=False)
        if not socket.can_prepare(request).ok:
            raise RefusedError(400, "BadRequest", "unable to upgrade: websocket is asked for")
        await socket.prepare(request)
        numbers = [int(each) for text in request.query.getall("ports") for each in text.split(",")]
        for channel, number in enumerate(numbers):
            for each in (2 * channel, 2 * channel + 1):
                await socket.send_bytes(bytes([each]) + struct.pack("<H", number))
        writers: dict[int, asyncio.StreamWriter] = {}
        tasks = []
        for channel, number in enumerate(numbers):
            try:
                reader, writers[2 * channel] = await asyncio.open_connection(body["status"].get("podIP", ""), number)
            except OSError:
                name = f"{body['metadata']['name']}_{body['metadata']['namespace']}"
                why = f"dial tcp4 127.0.0.1:{number}: connect: connection refused"
                said = f"error forwarding port {number} to pod {name}: {why}"
                await socket.send_bytes(bytes([2 * channel + 1]) + said.encode())
                continue
            tasks.append(asyncio.create_task(_back(socket, 2 * channel, reader)))
        await self._carry(socket, writers, tasks)
        return socket

    async def _carry(
        self, socket: WebSocketResponse, writers: dict[int, asyncio.StreamWriter], tasks: list[asyncio.Task[None]]
    ) -> None:
        try:
            with suppress(ConnectionError):
                async for message in socket:
                    if message.type is WSMsgType.BINARY and message.data[0] in writers:
                        writer = writers[message.data[0]]
                        writer.write(message.data[1:])
                        await writer.drain()
        finally:
            for task in tasks:
                task.cancel()
            for writer in writers.values():
                writer.close()


async def _back(socket: WebSocketResponse, channel: int, reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            await socket.send_bytes(bytes([channel]) + data)
    await socket.close()
