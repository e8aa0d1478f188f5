"""`/v1/agent/…`: services and their checks are registered, passed and removed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from nats.js.errors import KeyNotFoundError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.consul.answers import Refusal, answer, body, flag
from service.consul.checks import settled
from service.consul.entries import DATACENTER, NODE, agent_service, check, folded, health_check, instance
from service.consul.store import Store
from service.registry import ORIGIN, STATUSES, Instance, Status
from service.state import State

DONE = Response()
Seen = Callable[[Instance | None], bool]
VERBS: dict[str, Status] = {"pass": "passing", "warn": "warning", "fail": "critical"}


class Agent:
    """Writes on behalf of clients, and lists the entries."""

    def __init__(self, state: State, store: Store, *, version: str) -> None:
        self._state = state
        self._store = store
        self._version = version

    def routes(self) -> list[Route]:
        """Make the routes."""
        return [
            Route("/v1/agent/service/register", self.register, methods=["PUT"]),
            Route("/v1/agent/service/deregister/{id:path}", self.deregister, methods=["PUT"]),
            Route("/v1/agent/service/maintenance/{id:path}", self.maintain, methods=["PUT"]),
            Route("/v1/agent/service/{id:path}", self.service, methods=["GET"]),
            Route("/v1/agent/services", self.services, methods=["GET"]),
            Route("/v1/agent/check/register", self.register_check, methods=["PUT"]),
            Route("/v1/agent/check/update/{id:path}", self.update_check, methods=["PUT"]),
            Route("/v1/agent/check/{verb}/{id:path}", self.settle_check, methods=["PUT"]),
            Route("/v1/agent/checks", self.checks, methods=["GET"]),
            Route("/v1/agent/self", self.itself, methods=["GET"]),
        ]

    async def register(self, request: Request) -> Response:
        """Register or change a service. A service of the platform keeps its own entry."""
        host = request.client.host if request.client else "127.0.0.1"
        try:
            told = instance(await body(request), host, time.time())
        except ValueError as error:
            raise Refusal(400, str(error)) from error
        known = self._state.registry.instances.get(told.key)
        if known and ORIGIN not in known.meta:
            raise Refusal(403, f"`{told.id}` is the platform's own and keeps its entry by itself")
        if any(ORIGIN not in each.meta for each in self._state.registry.of(told.service)):
            raise Refusal(403, f"`{told.service}` is a service of the platform: only its own copies join it")
        await self._store.put(told)
        return await self._visible(told.key, lambda known: known is not None)

    async def deregister(self, request: Request) -> Response:
        """Remove a service."""
        known = self._find(request)
        await self._store.remove(known)
        return await self._visible(known.key, lambda now: now is None)

    async def maintain(self, request: Request) -> Response:
        """Take a service out of rotation, or put it back."""
        known = self._find(request)
        status: Status = "critical" if flag(request, "enable") else "passing"
        reason = request.query_params.get("reason", "maintenance") if status == "critical" else ""
        return await self._settle(known, status, reason)

    async def service(self, request: Request) -> Response:
        """One service."""
        return answer(agent_service(self._find(request)), self._state.registry.index)

    async def services(self, request: Request) -> Response:
        """All services by id."""
        del request
        registry = self._state.registry
        return answer({each.id: agent_service(each) for each in registry.instances.values()}, registry.index)

    async def register_check(self, request: Request) -> Response:
        """Add a check to a registered service."""
        told = folded(await body(request))
        known = self._state.registry.find(str(told.get("serviceid", "")))
        if not known:
            raise Refusal(400, f"ServiceID {told.get('serviceid')!r} does not exist")
        try:
            found = check(told, time.time())
        except ValueError as error:
            raise Refusal(400, str(error)) from error
        await self._store.change(known.key, lambda read: replace(read, check=found, status="critical"))
        return DONE

    async def update_check(self, request: Request) -> Response:
        """Set a check's state from the body."""
        told = folded(await body(request))
        if told.get("status") not in STATUSES:
            raise Refusal(400, f"Invalid check status: {told.get('status')!r}")
        return await self._settle(self._find(request), told["status"], str(told.get("output", "")))

    async def settle_check(self, request: Request) -> Response:
        """Set a check's state from the path: `pass`, `warn` or `fail`."""
        verb = request.path_params["verb"]
        if verb not in VERBS:
            raise Refusal(404, f"no such verb: {verb}")
        return await self._settle(self._find(request), VERBS[verb], request.query_params.get("note", ""))

    async def checks(self, request: Request) -> Response:
        """All checks by id."""
        del request
        registry = self._state.registry
        told = (health_check(each) for each in registry.instances.values())
        return answer({each["CheckID"]: each for each in told}, registry.index)

    async def itself(self, request: Request) -> Response:
        """The agent's identity."""
        del request
        config = {"Datacenter": DATACENTER, "NodeName": NODE, "Server": True, "Version": self._version}
        return answer({"Config": config, "Member": {"Name": NODE}}, self._state.registry.index)

    def _find(self, request: Request) -> Instance:
        instance_id = str(request.path_params["id"]).removeprefix("service:")
        known = self._state.registry.find(instance_id)
        if not known:
            raise Refusal(
                404, f'Unknown service ID "{instance_id}". Ensure that the service ID is passed, not its name.'
            )
        if ORIGIN not in known.meta and request.method == "PUT":
            raise Refusal(403, f"`{instance_id}` is the platform's own and keeps its entry by itself")
        return known

    async def _settle(self, known: Instance, status: Status, output: str) -> Response:
        if not known.check:
            await self._store.change(known.key, lambda read: replace(read, status=status))
            return DONE
        try:
            await self._store.change(known.key, lambda read: settled(read, status, output, time.time()))
        except KeyNotFoundError as error:
            raise Refusal(404, f'Unknown check ID "service:{known.id}"') from error
        return await self._visible(known.key, lambda now: now is None or now.status == status)

    async def _visible(self, key: str, seen: Seen) -> Response:
        """Answer once this process sees what it wrote, so that a client reads its own writes."""
        await self._state.until(lambda: seen(self._state.registry.instances.get(key)), 2)
        return DONE
