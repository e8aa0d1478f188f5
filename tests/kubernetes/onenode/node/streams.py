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
from onenode.refusals import RefusedError

_PROTOCOL = "v4.channel.k8s.io"
_CHUNK = 65536


class Streams:
    """Answers for the pods of a node."""

    def __init__(self, node: Node, engine: Engine) -> None:
        self._node, self._engine = node, engine

    async def log(self, request: Request, body: Object) -> StreamResponse:
        """Answer with what a pod's container wrote, or with `previous` the one before it."""
        pod, query = self._node.pods.get(body["metadata"]["uid"]), request.query
        previous = query.get("previous") == "true"
        container = (pod.main.previous if previous else pod.main.id) if pod else ""
        if not container:
            named = f'container "{body["spec"]["containers"][0]["name"]}" in pod "{body["metadata"]["name"]}"'
            said = f"previous terminated {named} not found" if previous else f"{named} is waiting to start"
            raise RefusedError(400, "BadRequest", said)
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

    @staticmethod
    async def forward(request: Request, body: Object) -> StreamResponse:
        """Carry one connection to a port of a pod, on two channels: 0 for data and 1 for errors."""
        socket = WebSocketResponse(protocols=(_PROTOCOL,), compress=False)
        await socket.prepare(request)
        number, metadata = int(request.query["ports"]), body["metadata"]
        for channel in (0, 1):
            await socket.send_bytes(bytes([channel]) + struct.pack("<H", number))
        try:
            reader, writer = await asyncio.open_connection(body["status"].get("podIP", ""), number)
        except OSError:
            why = f"dial tcp4 127.0.0.1:{number}: connect: connection refused"
            said = f"error forwarding port {number} to pod {metadata['name']}_{metadata['namespace']}: {why}"
            await socket.send_bytes(bytes([1]) + said.encode())
            await socket.close()
            return socket
        back = asyncio.create_task(_back(socket, reader))
        try:
            with suppress(ConnectionError):
                async for message in socket:
                    if message.type is WSMsgType.BINARY and message.data[0] == 0:
                        writer.write(message.data[1:])
                        await writer.drain()
        finally:
            back.cancel()
            writer.close()
        return socket


async def _back(socket: WebSocketResponse, reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            await socket.send_bytes(bytes([0]) + data)
    await socket.close()
