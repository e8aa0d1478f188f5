"""Ports of this machine that lead to pods, over a websocket server that does what a node does."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import Request, Response, Server, ServerConnection, serve
from websockets.exceptions import WebSocketException

from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.api.forward import Forwarder
from stepflow.targets.ports import HOST

PORT = 8000
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Cluster:
    """Pods by name; one that is not named is gone, one without a handler does not listen."""

    pods: dict[str, Handle | None]
    forwarder: Forwarder
    asked: list[str] = field(default_factory=list)

    async def carry(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        handle = self.pods[_pod(connection.request)]
        number = PORT.to_bytes(2, "little")
        for channel in (0, 1):
            await connection.send(bytes([channel]) + number)
        if handle is None:
            await connection.send(b"\x01failed to connect: connection refused")
            return
        server = await asyncio.start_server(handle, HOST, 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        back = asyncio.create_task(_back(reader, connection))
        with suppress(WebSocketException):
            async for message in connection:
                assert isinstance(message, bytes)
                writer.write(message[1:])
                await writer.drain()
        writer.close()
        back.cancel()
        await asyncio.wait([back])
        server.close()

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.asked.append(_pod(request))
        there = _pod(request) in self.pods
        return None if there else connection.respond(HTTPStatus.NOT_FOUND, "no such pod")


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    made = Cluster({}, None)  # type: ignore[arg-type] - it is known once the server listens

    async with serve(made.carry, HOST, 0, subprotocols=["v4.channel.k8s.io"], process_request=made.admit) as server:
        monkeypatch.setenv("KUBECONFIG", str(_kubeconfig(tmp_path, server)))
        client = Client("here")
        made.forwarder = Forwarder(client, "shop")
        yield made
        await asyncio.to_thread(made.forwarder.close)
        client.close()


async def test_a_connection_is_carried_both_ways(cluster: Cluster) -> None:
    cluster.pods["web"] = _shout
    assert await _talk(cluster, ["web"], b"hello") == b"HELLO"


async def test_a_pod_that_is_gone_and_one_that_does_not_listen_are_passed_over_without_a_lost_byte(
    cluster: Cluster,
) -> None:
    cluster.pods |= {"deaf": None, "web": _shout}
    assert await _talk(cluster, ["gone", "deaf", "web"], b"hello") == b"HELLO"
    assert cluster.asked == ["gone", "deaf", "web"]


async def test_a_server_that_speaks_first_is_heard(cluster: Cluster) -> None:
    cluster.pods["nats"] = _greet
    assert await _talk(cluster, ["nats"], b"") == b"INFO"


async def test_where_no_pod_listens_the_connection_is_closed(cluster: Cluster) -> None:
    cluster.pods["deaf"] = None
    assert await _talk(cluster, ["deaf"], b"hello") == b""
    assert await _talk(cluster, [], b"hello") == b""


async def test_what_was_answered_once_is_sent_to_no_other_pod(cluster: Cluster) -> None:
    cluster.pods |= {"dying": _greet_and_go, "web": _shout}
    assert await _talk(cluster, ["dying", "web"], b"pay") == b"INFO"
    assert cluster.asked == ["dying"]


async def test_many_connections_at_once_each_get_their_own_answer(cluster: Cluster) -> None:
    cluster.pods["web"] = _shout
    words = [f"word-{number}".encode() for number in range(20)]
    assert await asyncio.gather(*(_talk(cluster, ["web"], word) for word in words)) == [w.upper() for w in words]


async def test_a_port_stays_the_same_for_all_who_ask_and_may_be_wished_for(cluster: Cluster) -> None:
    first = await asyncio.to_thread(cluster.forwarder.port, "web", PORT, tuple)
    assert cluster.forwarder.port("web", PORT, tuple) == first
    assert cluster.forwarder.opened("web", PORT) == first
    assert cluster.forwarder.opened("web", 1) is None
    with pytest.raises(OSError, match="address already in use"):
        cluster.forwarder.port("other", PORT, tuple, wish=first)


async def test_when_it_is_closed_nothing_is_left(cluster: Cluster) -> None:
    cluster.pods["web"] = _shout
    number = cluster.forwarder.port("web", PORT, lambda: ["web"])
    reader, writer = await asyncio.open_connection(HOST, number)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"HELLO"
    await asyncio.to_thread(cluster.forwarder.close)
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, number)
    async with asyncio.timeout(60):
        while any(each.name == "kubernetes-forward" for each in threading.enumerate()):  # noqa: ASYNC110 - a thread ends
            await asyncio.sleep(0.01)


async def test_one_pod_is_asked_and_its_answer_is_told(cluster: Cluster) -> None:
    cluster.pods["web"] = _unwell
    assert await cluster.forwarder.ask("web", PORT, "/ready", 60) == (503, "the database is away")
    with pytest.raises(ValueError, match="closed the connection without an answer"):
        await cluster.forwarder.ask("gone", PORT, "/ready", 60)


async def _talk(cluster: Cluster, pods: list[str], said: bytes) -> bytes:
    number = await asyncio.to_thread(cluster.forwarder.port, ",".join(pods), PORT, lambda: pods)
    reader, writer = await asyncio.open_connection(HOST, number)
    writer.write(said)
    try:
        async with asyncio.timeout(60):
            return await reader.read(100)
    finally:
        writer.close()


async def _shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data.upper())
    writer.close()


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"INFO")
    await reader.read()
    writer.close()


async def _greet_and_go(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"INFO")
    writer.close()


async def _unwell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\nthe database is away")
    writer.close()


async def _back(reader: asyncio.StreamReader, connection: ServerConnection) -> None:
    with suppress(WebSocketException):
        while data := await reader.read(100):
            await connection.send(b"\x00" + data)
        await connection.close()


def _pod(request: Request) -> str:
    path, _, query = request.path.partition("?")
    assert query == f"ports={PORT}"
    assert path.startswith("/api/v1/namespaces/shop/pods/")
    return path.split("/")[-2]


def _kubeconfig(folder: Path, server: Server) -> Path:
    host, port = next(iter(server.sockets)).getsockname()[:2]
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://{host}:{port}"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (folder / "config").write_text(json.dumps(config))
    return folder / "config"
