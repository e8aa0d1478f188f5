"""Probes: `/health/live` is about the process only, `/health/ready` about everything it needs to do its work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response
from pydantic import BaseModel

from chassis.metrics import exposition

Check = Callable[[], Awaitable[None]]
TIMEOUT = 2.0  # seconds for each check


class Liveness(BaseModel):
    """The process answers."""

    status: str = "alive"
    service: str
    instance: str
    version: str


class Readiness(BaseModel):
    """`ready`, `starting`, `draining` or `unready`; each check is `ok` or says what is wrong."""

    status: str
    checks: dict[str, str]


class Health:
    """What readiness depends on."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self.started = False
        self.starting = "not started"
        """What the start is waiting for, shown by readiness."""
        self.draining = False

    def add(self, name: str, check: Check) -> None:
        """Add a check: it returns when all is well and raises otherwise."""
        self._checks[name] = check

    async def readiness(self) -> Readiness:
        """Run all checks at once."""
        if self.draining:
            return Readiness(status="draining", checks={})
        if not self.started:
            return Readiness(status="starting", checks={"start": self.starting})
        names = list(self._checks)
        answers = await asyncio.gather(*(_ask(self._checks[name]) for name in names))
        checks = dict(zip(names, answers, strict=True))
        return Readiness(status="ready" if all(a == "ok" for a in answers) else "unready", checks=checks)

    async def is_ready(self) -> bool:
        """Return whether every check passed."""
        return (await self.readiness()).status == "ready"


async def _ask(check: Check) -> str:
    try:
        await asyncio.wait_for(check(), TIMEOUT)
    except TimeoutError:
        return f"no answer within {TIMEOUT:g} s"
    except Exception as error:  # noqa: BLE001 - whatever a check raises is its answer
        return f"{type(error).__name__}: {error}".rstrip(": ")
    return "ok"


def health_router(health: Health, liveness: Liveness) -> APIRouter:
    """Make the routes of the probes and of `/metrics`."""
    router = APIRouter(tags=["operations"])

    @router.get("/health/live")
    async def live() -> Liveness:
        """The process runs; says nothing about what it depends on."""
        return liveness

    @router.get("/health/ready", responses={503: {"model": Readiness, "description": "Not ready."}})
    async def ready(response: Response) -> Readiness:
        """The service can do its work: started, dependencies available, not draining."""
        answer = await health.readiness()
        if answer.status != "ready":
            response.status_code = 503
        return answer

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Metrics in Prometheus text."""
        body, media_type = exposition()
        return Response(body, headers={"Content-Type": media_type})

    return router
