"""A probe says in words what it was answered."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from stepflow.targets.envoy import drain
from stepflow.targets.local.probe import ask
from stepflow.targets.local.spec import Probe

STARTING = b"E\x00\x00\x00\x2aSFATAL\x00C57P03\x00Mthe system is starting\x00\x00"


@asynccontextmanager
async def _answering(*answers: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that gives each connection the next answer (the last one for ever) and keeps what it was sent."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(4096))
        writer.write(answers[min(len(asked), len(answers)) - 1])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


@pytest.mark.parametrize(
    ("kind", "answer", "ok", "text"),
    [
        ("http", b"HTTP/1.1 204 No Content\r\n\r\n", True, "GET /ready answers 204"),
        (
            "http",
            b"HTTP/1.1 503 No\r\nA: b\r\n\r\ndatabase\n is down",
            False,
            "GET /ready answers 503 database is down",
        ),
        ("http", b"", False, "closed the connection without an answer"),
        ("http", b"nonsense and more", False, "does not answer in HTTP"),
        ("valkey", b"-NOAUTH Authentication required.\r\n", True, "-NOAUTH Authentication required."),
        ("valkey", b"-LOADING dataset\r\n", False, "-LOADING dataset"),
        ("postgres", b"R\x00\x00\x00\x08\x00\x00\x00\x05", True, "asks for the password"),
        ("postgres", STARTING, False, "the system is starting"),
        ("postgres", b"R", False, "1 bytes read on a total of 5 expected bytes"),
    ],
)
async def test_an_answer_is_told_in_words(kind: str, answer: bytes, text: str, *, ok: bool) -> None:
    async with _answering(answer) as (port, _):
        got = await ask(Probe(kind, port, "/ready"))  # type: ignore[arg-type]
    assert (got.ok, got.text.removeprefix(f"port {port}: ")) == (ok, text)


async def test_nothing_listening_and_no_answer_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert (await ask(Probe("http", port, timeout=0.1))).text == f"no answer on port {port} in 0.1 s"
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        assert (await ask(Probe("http", port))).text == f"nothing listens on port {port}"


async def test_draining_asks_envoy_and_waits_until_nothing_but_its_own_question_is_in_flight() -> None:
    def stats(active: int) -> bytes:
        lines = ("http.admin.downstream_rq_active: 1", f"http.in.downstream_rq_active: {active}")
        return "\n".join(("HTTP/1.1 200 OK\r\n\r", *lines)).encode()

    async with _answering(b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", stats(2), stats(0)) as (port, asked):
        await drain(port, 5)
    assert [line.split(b" HTTP")[0] for line in asked] == [
        b"POST /healthcheck/fail",
        b"POST /drain_listeners?graceful",
        b"GET /stats?filter=downstream_rq_active",
        b"GET /stats?filter=downstream_rq_active",
    ]


async def test_draining_ends_at_its_limit_and_with_an_envoy_that_is_gone() -> None:
    stuck = b"HTTP/1.1 200 OK\r\n\r\nhttp.in.downstream_rq_active: 1\n"
    async with _answering(stuck) as (port, _):
        await asyncio.wait_for(drain(port, 0.3), 60)
    await asyncio.wait_for(drain(port, 600), 60)
