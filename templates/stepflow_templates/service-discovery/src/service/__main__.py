"""`python -m service`: the control plane, the Consul API beside it, and the front page."""

from __future__ import annotations

from fastapi import FastAPI

from chassis.app import Service, serve
from chassis.settings import load
from service import pages, xds
from service.consul import app as consul
from service.consul.checks import Checks
from service.consul.store import Store
from service.envoy.model import Gateway
from service.settings import Settings
from service.state import State

VERSION = "1.0.0"


def build(settings: Settings) -> FastAPI:
    """Assemble the service; nothing starts before it is served."""
    service = Service(
        settings,
        title="Service discovery",
        version=VERSION,
        summary="The registry and the control plane of the gateway.",
        quiet=("/v3/",),
        routes=("/docs", "/assets", "/api/registry"),
        public=("GET /", "GET /docs", "GET /assets/*", "GET /api/registry", "GET /services/*/openapi.json"),
    )
    state = State(
        _gateway(settings),
        closing=lambda: service.health.draining,
        connection=lambda: service.bus.generation,
    )
    store = Store(service.bus)
    service.registry.listen("", state.registry_changed)
    service.config.on_change("", state.config_changed)
    service.on_start(lambda: service.config.put("gateway", _addresses(settings)))
    leader = f"{settings.advertised}:{settings.registry_port}"
    consul_app = consul.consul_app(service, state, store, leader)
    service.background("consul", lambda: consul.run(consul_app, settings.host, settings.registry_port))
    service.background("checks", Checks(state, store).run)
    service.background("settle", state.settle)

    def loaded() -> bool:
        return service.registry.loaded.is_set() and service.health.started

    return service.app(pages.router(state, settings.platform), xds.router(state, loaded, settings.poll_hold))


def _addresses(settings: Settings) -> dict[str, str]:
    return {"url": settings.gateway_url.rstrip("/"), "mesh_url": settings.mesh_url.rstrip("/")}


def _gateway(settings: Settings) -> Gateway:
    return Gateway(
        bind=settings.gateway_bind,
        port=settings.gateway_port,
        mesh_bind=settings.mesh_bind,
        mesh_port=settings.mesh_port,
        request_timeout=settings.request_timeout,
        max_request_bytes=settings.max_request_bytes,
        load_balancing=settings.load_balancing,
        poll_timeout=settings.poll_hold + 10,
    )


if __name__ == "__main__":
    chosen = load(Settings)
    serve(build(chosen), chosen)
