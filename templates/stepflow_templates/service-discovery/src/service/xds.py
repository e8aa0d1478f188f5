"""Envoy's REST discovery service (xDS v3): `POST /v3/discovery:…`, answered when something changes.

Envoy sends the version it has; while that is the current one the request is held open and then answered 304, so that
changes arrive at once although Envoy only polls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from chassis.problem import PROBLEMS, Problem
from service.envoy.documents import KINDS
from service.envoy.model import CLUSTER, ENDPOINTS, LISTENER, ROUTES, typed
from service.state import State

TYPES = {"clusters": CLUSTER, "endpoints": ENDPOINTS, "listeners": LISTENER, "routes": ROUTES}


class DiscoveryRequest(BaseModel):
    """The part of `envoy.service.discovery.v3.DiscoveryRequest` that matters here."""

    version_info: str = ""
    resource_names: list[str] = Field(default_factory=list)


class DiscoveryResponse(BaseModel):
    """`envoy.service.discovery.v3.DiscoveryResponse`."""

    version_info: str
    type_url: str
    resources: list[dict[str, Any]]


def router(state: State, loaded: Callable[[], bool], hold: float) -> APIRouter:
    """The four routes. Until all is loaded they are refused: half an answer would remove routes."""
    routes = APIRouter(tags=["xds"])
    answers = {**PROBLEMS, 304: {"description": "Nothing changed while the request was held open."}}
    for kind in KINDS:
        routes.add_api_route(
            f"/v3/discovery:{kind}",
            _question(state, kind, loaded, hold),
            methods=["POST"],
            response_model=DiscoveryResponse,
            responses=answers,
            summary=f"Envoy's {kind}",
            operation_id=f"discover_{kind}",
        )
    return routes


def _question(
    state: State, kind: str, loaded: Callable[[], bool], hold: float
) -> Callable[[DiscoveryRequest], Awaitable[Response]]:
    async def ask(request: DiscoveryRequest) -> Response:
        if not loaded():
            raise Problem(503, "Not loaded yet", headers={"Retry-After": "1"})
        names = frozenset(request.resource_names)
        if request.version_info:
            await state.until(lambda: state.documents.select(kind, names)[0] != request.version_info, hold)
        version, resources = state.documents.select(kind, names)
        if version == request.version_info:
            return Response(status_code=304)
        body = {"version_info": version, "type_url": typed(TYPES[kind])["@type"], "resources": resources}
        return JSONResponse(body)

    return ask
