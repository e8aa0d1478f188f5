"""The OTLP port: a server of its own beside the API, in the same event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager

import uvicorn
from starlette.types import ASGIApp

_BACKLOG = 256
_KEEP_ALIVE = 75  # seconds


class _Server(uvicorn.Server):
    """Leaves signals to the API's server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle no signals."""
        yield


class Receiver:
    """Listens while it runs; `on_listening` is called when it does."""

    def __init__(self, app: ASGIApp, host: str, port: int, on_listening: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._address = (host, port)
        self._on_listening = on_listening
        self.listening = False

    async def run(self) -> None:
        """Serve until cancelled; raises `OSError` when the port is taken."""
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=2,
        )
        server = _Server(config)
        with closing(_listen(*self._address)) as listener:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                self.listening = True
                await self._on_listening()
                await asyncio.shield(serving)
            finally:
                self.listening = False
                server.should_exit = True
                await serving

    async def check(self) -> None:
        """Raise when nothing listens."""
        if not self.listening:
            raise ConnectionError(f"nothing listens on port {self._address[1]} for telemetry")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)
