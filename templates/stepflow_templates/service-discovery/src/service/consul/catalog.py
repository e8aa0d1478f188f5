"""`/v1/catalog/…`, `/v1/health/…`, `/v1/status/…`: services and their health."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.consul.answers import Refusal, answer, blocking, flag
from service.consul.entries import DATACENTER, NODE, catalog_service, health_check, health_entry
from service.registry import STATUSES, Instance
from service.state import State


class Catalog:
    """Read-only; lists wait for changes when requested."""

    def __init__(self, state: State, leader: str) -> None:
        self._state = state
        self._leader = leader

    def routes(self) -> list[Route]:
        """Make the routes."""
        return [
            Route("/v1/catalog/services", self.services, methods=["GET"]),
            Route("/v1/catalog/service/{name}", self.service, methods=["GET"]),
            Route("/v1/catalog/nodes", self.nodes, methods=["GET"]),
            Route("/v1/catalog/datacenters", self.datacenters, methods=["GET"]),
            Route("/v1/health/service/{name}", self.health, methods=["GET"]),
            Route("/v1/health/checks/{name}", self.checks, methods=["GET"]),
            Route("/v1/health/state/{state}", self.in_state, methods=["GET"]),
            Route("/v1/status/leader", self.leader, methods=["GET"]),
            Route("/v1/status/peers", self.peers, methods=["GET"]),
        ]

    async def services(self, request: Request) -> Response:
        """List the names of services, each with its tags."""
        return await blocking(request, self._state, self._tags)

    async def service(self, request: Request) -> Response:
        """List the instances of a service, whatever their health."""
        return await blocking(request, self._state, lambda: [catalog_service(each) for each in self._chosen(request)])

    async def health(self, request: Request) -> Response:
        """List the instances of a service with their checks; `?passing` leaves out those that do not pass."""
        passing = flag(request, "passing")

        def read() -> list[object]:
            chosen = self._chosen(request)
            return [health_entry(each) for each in chosen if not passing or each.status == "passing"]

        return await blocking(request, self._state, read)

    async def checks(self, request: Request) -> Response:
        """List the checks of a service."""
        return await blocking(request, self._state, lambda: [health_check(each) for each in self._chosen(request)])

    async def in_state(self, request: Request) -> Response:
        """List all checks in a state, or in `any`."""
        state = request.path_params["state"]
        if state not in {*STATUSES, "any"}:
            raise Refusal(400, f"Invalid state: {state}")

        def read() -> list[object]:
            known = self._state.registry.instances.values()
            return [health_check(each) for each in known if state in {"any", each.status}]

        return await blocking(request, self._state, read)

    async def nodes(self, request: Request) -> Response:
        """The one node that all services are listed under."""
        node = {"ID": "", "Node": NODE, "Address": self._leader.partition(":")[0], "Datacenter": DATACENTER, "Meta": {}}
        return await blocking(request, self._state, lambda: [node])

    async def datacenters(self, request: Request) -> Response:
        """The one datacenter."""
        del request
        return answer([DATACENTER], self._state.registry.index)

    async def leader(self, request: Request) -> Response:
        """Return this process: the state is in NATS, so any replica is a leader."""
        del request
        return answer(self._leader, self._state.registry.index)

    async def peers(self, request: Request) -> Response:
        """The same as a list."""
        del request
        return answer([self._leader], self._state.registry.index)

    def _tags(self) -> dict[str, list[str]]:
        services = self._state.registry.services()
        return {name: sorted({tag for each in known for tag in each.tags}) for name, known in services.items()}

    def _chosen(self, request: Request) -> list[Instance]:
        tags = set(request.query_params.getlist("tag"))
        return [each for each in self._state.registry.of(request.path_params["name"]) if tags <= set(each.tags)]
