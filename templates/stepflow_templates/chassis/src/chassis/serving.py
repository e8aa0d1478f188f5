"""Runs an app under uvicorn, and stops it gracefully on SIGTERM and SIGINT."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI

from chassis import logs

if TYPE_CHECKING:
    from chassis.app import Service
    from chassis.settings import Settings

KEEP_ALIVE = 75  # seconds; longer than the gateway keeps idle connections


class GracefulServer(uvicorn.Server):
    """Drains before it stops, and ends with exit code 0 instead of raising the signal again."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._leaving: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle the signals in the event loop while serving."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        """Stop gracefully the first time, at once the second."""
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave())
        else:
            self.should_exit = self.force_exit = True

    async def _leave(self) -> None:
        await self._service.drain()
        self.should_exit = True


def serve(app: FastAPI, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT: not ready, out of the registry, requests in flight finished, telemetry flushed,
    exit 0. A port that is taken ends it with exit code 1 and one line that says so.
    """
    service: Service = app.state.service
    service.telemetry.lines = logs.install(settings.service, settings.instance_name, settings.log_level).kept
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    server = GracefulServer(config, service)
    server.run()
    if not server.started:
        sys.exit(1)
