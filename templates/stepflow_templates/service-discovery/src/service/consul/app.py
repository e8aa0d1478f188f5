"""The Consul API as an app on a port of its own, beside the service's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware

from chassis.app import Service
from service.consul.agent import Agent
from service.consul.answers import Refusal, refused
from service.consul.browsers import NoBrowsers
from service.consul.catalog import Catalog
from service.consul.kv import Values
from service.consul.store import Store
from service.state import State


def consul_app(service: Service, state: State, store: Store, leader: str) -> Starlette:
    """Make the app. `leader` is this process's `host:port`."""
    agent = Agent(state, store, version=service.version)
    routes = [*agent.routes(), *Catalog(state, leader).routes(), *Values(service.bus).routes()]
    return Starlette(routes=routes, exception_handlers={Refusal: refused}, middleware=[Middleware(NoBrowsers)])


class Beside(uvicorn.Server):
    """A server inside the service's process: it does not handle signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signal handlers as they are."""
        yield


async def run(app: Starlette, host: str, port: int) -> None:
    """Serve until cancelled."""
    config = uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False, lifespan="off")
    server = Beside(config)
    try:
        await server.serve()
    finally:
        server.force_exit = True
        await server.shutdown()
