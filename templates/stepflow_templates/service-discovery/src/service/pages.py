"""The platform's front page, the viewer of its services' API documents, and the list that both use."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

from chassis.problem import PROBLEMS, Problem
from service.envoy.routes import owners
from service.state import State

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
HTML: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}}, "description": "A page."}}


class InstanceInfo(BaseModel):
    """One running copy."""

    id: str
    address: str
    status: Literal["passing", "warning", "critical"]
    version: str


class ServiceInfo(BaseModel):
    """One service. `state` is `down` when no instance takes requests; `title` and `about` speak of its page, `ui`."""

    name: str
    state: Literal["up", "degraded", "down"]
    routes: list[str]
    public: list[str]
    openapi: str | None
    ui: str | None
    title: str | None
    about: str | None
    instances: list[InstanceInfo]


class RegistryInfo(BaseModel):
    """All services, and whether the gateway demands tokens."""

    platform: str
    services: list[ServiceInfo]
    enforced: bool
    conflicts: list[str]


def router(state: State, platform: str) -> APIRouter:
    """The pages and `/api/registry` of the platform of that name."""
    routes = APIRouter(tags=["pages"])

    @routes.get("/", response_class=Response, responses=HTML, operation_id="front_page")
    async def front() -> Response:
        """The front page."""
        return _page("index.html")

    @routes.get("/docs", response_class=Response, responses=HTML, operation_id="docs_page")
    async def docs() -> Response:
        """The API documents of all services, for a person."""
        return _page("docs.html")

    @routes.get("/assets/{name}", response_class=Response, responses={404: PROBLEMS[404]}, operation_id="asset")
    async def asset(name: str) -> Response:
        """The assets of the pages."""
        return _page(name)

    @routes.get("/api/registry", operation_id="registry")
    async def registry() -> RegistryInfo:
        """All services with their instances."""
        return registry_info(state, platform)

    return routes


def registry_info(state: State, platform: str) -> RegistryInfo:
    """The state as the page shows it."""
    owner = dict(owners(state.services))
    conflicts = [
        f"`{prefix}` of {service.name} is answered by {owner['/' + prefix.strip('/')]}"
        for service in state.services.values()
        for prefix in service.routes
        if prefix.strip("/") and owner["/" + prefix.strip("/")] != service.name
    ]
    services = [_service_info(state, name) for name in state.services]
    return RegistryInfo(platform=platform, services=services, enforced=state.policy.enforce, conflicts=conflicts)


def _service_info(state: State, name: str) -> ServiceInfo:
    service = state.services[name]
    instances = state.registry.of(name)
    meta = instances[0].meta if instances else {}
    healthy = sum(each.status == "passing" for each in instances)
    prefix = f"/services/{name}"
    return ServiceInfo(
        name=name,
        state="down" if not service.instances else "up" if healthy == len(instances) else "degraded",
        routes=list(service.routes),
        public=list(service.public),
        openapi=prefix + meta["openapi"] if meta.get("openapi") else None,
        ui=meta.get("ui") or None,
        title=meta.get("title") or None,
        about=meta.get("about") or None,
        instances=[
            InstanceInfo(id=each.id, address=f"{each.address}:{each.port}", status=each.status, version=each.version)
            for each in instances
        ],
    )


def _page(name: str) -> Response:
    folder = files("service") / "pages"
    known = {each.name: each for each in folder.iterdir()}
    if name not in known or (suffix := name[name.rfind(".") :]) not in _TYPES:
        raise Problem(404, detail=f"There is no asset `{name}`.")
    return Response(known[name].read_bytes(), media_type=_TYPES[suffix], headers=_HEADERS)
