"""Forwarded ports: a local listener for each port of a workload, a websocket for each connection.

All of it runs in one thread of its own, so that an address may be asked for from any thread or event loop.
The protocol is `v4.channel.k8s.io`: each message begins with the channel's number, each channel's first one has the
port. It cannot close one direction alone: a connection ends as a whole.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from stepflow.errors import StepflowError
from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.ports import HOST, request

_PROTOCOL: Any = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_HEAD = 3  # bytes of a channel's first message: its number, and the port
_CHUNK = 65536
_KEPT = 16  # chunks that are kept for another pod
_TRIES = 3  # pods that a connection is tried with
_OPENING = 10.0  # seconds that one try may take
_LINGER = 2.0  # seconds in which an answer may still come to who has no more to say
_ALIVE = 20.0  # seconds between signs of life on an idle connection
_T = TypeVar("_T")

Choose = Callable[[], Sequence[str]]
"""Names pods that may take a connection, the best first; blocking."""


class PortError(Exception):
    """A pod does not take a connection."""


@dataclass(frozen=True, slots=True)
class _Destination:
    """Where a listener leads to."""

    choose: Choose
    number: int


class Forwarder:
    """The listeners of one platform."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client, self._namespace = client, namespace
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._servers: dict[tuple[str, int], asyncio.Server] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def port(self, name: str, number: int, choose: Choose, wish: int = 0) -> int:
        """Return the port of this machine that leads to a port of a workload, opened when it is not yet there.

        `wish` is the number that it gets here, 0 for any. Raises `OSError` when that is taken.
        """
        with self._lock:
            server = self._servers.get((name, number))
            if server is None:
                server = self._run(self._listening(_Destination(choose, number), wish))
                self._servers[name, number] = server
            return int(server.sockets[0].getsockname()[1])

    def opened(self, name: str, number: int) -> int | None:
        """Return the port of this machine, if there is one already."""
        with self._lock:
            server = self._servers.get((name, number))
        return int(server.sockets[0].getsockname()[1]) if server else None

    async def ask(self, pod: str, number: int, path: str, patience: float) -> tuple[int, str]:
        """Send a GET request to a pod; return status and body. Raises `OSError`, `ValueError` or `TimeoutError`."""

        async def asked() -> tuple[int, str]:
            async with asyncio.timeout(patience):
                server = await self._listening(_Destination(lambda: (pod,), number), 0)
                try:
                    return await request(server.sockets[0].getsockname()[1], path)
                finally:
                    server.close()

        with self._lock:
            loop = self._running()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked(), loop))

    def close(self) -> None:
        """Close all listeners and connections, and end the thread."""
        with self._lock:
            loop, self._loop = self._loop, None
            servers = list(self._servers.values())
            self._servers.clear()
        if loop is not None:
            asyncio.run_coroutine_threadsafe(self._end(servers), loop).result(_OPENING)
            loop.call_soon_threadsafe(loop.stop)

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_serve, args=(self._loop,), name="kubernetes-forward", daemon=True).start()
        return self._loop

    async def _listening(self, way: _Destination, wish: int) -> asyncio.Server:
        async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            try:
                await self._carry(way, reader, writer)
            finally:
                writer.close()

        return await asyncio.start_server(taken, HOST, wish)

    async def _carry(self, way: _Destination, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to the first pod that accepts it; close it if none does."""
        sent = _Sent(reader)
        with suppress(OSError, StepflowError, WebSocketException, asyncio.CancelledError):
            for again in range(_TRIES):
                pods = await asyncio.to_thread(way.choose)
                if not pods:
                    return
                try:
                    async with self._opened(pods[again % len(pods)], way.number) as pod:
                        await _carried(pod, sent, writer)
                        return
                except (InvalidHandshake, PortError):  # it is gone, or nothing listens in it yet
                    continue

    @asynccontextmanager
    async def _opened(self, pod: str, number: int) -> AsyncIterator[ClientConnection]:
        door = await asyncio.to_thread(self._client.door)
        path = f"/api/v1/namespaces/{quote(self._namespace)}/pods/{quote(pod)}/portforward?ports={number}"
        options: dict[str, Any] = {"ssl": door.tls} if door.tls else {}
        options |= {"server_hostname": door.server_name} if door.tls and door.server_name else {}
        async with connect(
            f"ws{door.address.removeprefix('http')}{path}",
            subprotocols=[_PROTOCOL],
            additional_headers=dict(door.headers),
            compression=None,
            max_size=None,
            open_timeout=_OPENING,
            close_timeout=1,
            ping_interval=_ALIVE,
            ping_timeout=None,
            **options,
        ) as pod_side:
            yield pod_side

    async def _end(self, servers: Sequence[asyncio.Server]) -> None:
        for server in servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Sent:
    """What a client sends; kept until it is answered: a pod may still turn out not to listen."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._kept: list[bytes] | None = []

    @property
    def whole(self) -> bool:
        """Whether all of it can be sent to another pod."""
        return self._kept is not None

    def answered(self) -> None:
        """Drop what was kept: the pod has answered, so no other pod needs it."""
        self._kept = None

    async def to(self, pod: ClientConnection) -> None:
        """Send all to a pod, until the client has no more."""
        for chunk in list(self._kept or ()):
            await pod.send(bytes([_DATA]) + chunk)
        while chunk := await self._reader.read(_CHUNK):
            if self._kept is not None and len(self._kept) < _KEPT:
                self._kept.append(chunk)
            else:
                self._kept = None
            await pod.send(bytes([_DATA]) + chunk)


async def _carried(pod: ClientConnection, sent: _Sent, writer: asyncio.StreamWriter) -> None:
    """Carry both directions until one ends. Raises `PortError` when the pod refuses before it answers anything."""
    out = asyncio.create_task(sent.to(pod))
    back = asyncio.create_task(_back(pod, sent, writer))
    try:
        await asyncio.wait([out, back], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([back], timeout=_LINGER)  # a client that has no more to say may still be answered
    finally:
        for task in (out, back):
            task.cancel()
        await asyncio.wait([out, back])
        ended = [task.exception() for task in (out, back) if not task.cancelled()]
    if sent.whole and any(isinstance(error, PortError) for error in ended):
        raise PortError


async def _back(pod: ClientConnection, sent: _Sent, writer: asyncio.StreamWriter) -> None:
    known: set[int] = set()
    async for message in pod:
        if not isinstance(message, bytes) or not message:
            continue
        channel, data = message[0], message[1:]
        if channel not in known:
            known.add(channel)
            data = message[_HEAD:]
        if channel == _ERROR and data:
            raise PortError(data.decode(errors="replace"))
        if channel == _DATA and data:
            sent.answered()
            writer.write(data)
            await writer.drain()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
