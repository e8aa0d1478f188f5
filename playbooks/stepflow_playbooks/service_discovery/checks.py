"""How the gateway, the mesh and the registry are verified."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stepflow.errors import PermanentError, TemporaryError
from stepflow.handoff import ServiceHandoff
from stepflow.playbook import Check
from stepflow.workload import CheckContext, Instance, Live
from stepflow_playbooks.handoffs.service_discovery import GATEWAY, MESH, REGISTRY
from stepflow_playbooks.journey import http_client

if TYPE_CHECKING:
    import httpx2

OUTCOME = "Service mesh with API gateway"
CLIENTS, PAUSE, SECONDS, KILL_AFTER = 4, 0.2, 6.0, 1.0  # 20 requests a second, below the default rate limit
OK, ROUNDS = 200, 10
_CUT_OFF = "without sending complete message body"  # as the client says it


def checks() -> tuple[Check, ...]:
    """Return the checks."""
    return (
        Check("gateway answers", gateway_answers),
        Check("registry answers", registry_answers),
        Check("the mesh leads to every service", mesh_leads, proves=(OUTCOME,), when="run"),
        Check("every replica is registered and answers", replicas_answer, proves=(OUTCOME,), when="run"),
        Check("a killed instance goes unnoticed", kill_unnoticed, (OUTCOME,), when="run", timeout=60, chaos=True),
    )


async def gateway_answers(live: Live) -> str:
    """The front page and the list of services answer through Envoy."""
    async with http_client(live.url(GATEWAY), timeout=10) as http:
        url = live.url(GATEWAY)
        page = await http.get(f"{url}/")
        listed = await http.get(f"{url}/api/registry")
    if page.status_code != OK or listed.status_code != OK:
        raise TemporaryError(f"{url}/ answers {page.status_code}, {url}/api/registry {listed.status_code}")
    names = [service["name"] for service in listed.json()["services"]]
    return f"{url}/ answers 200; registered: {', '.join(names)}"


async def registry_answers(live: Live) -> str:
    """The Consul API lists the control plane as passing."""
    url = live.url(REGISTRY)
    async with http_client(url) as http:
        answer = await http.get(f"{url}/v1/health/service/service-discovery?passing=1")
    if answer.status_code != OK or not answer.json():
        raise TemporaryError(f"{url} answers {answer.status_code} with {answer.text[:80]}")
    return f"{url}/v1/health/service/service-discovery lists {len(answer.json())} passing"


async def mesh_leads(live: Live) -> str:
    """Each registered service answers at the mesh listener under its name."""
    mesh = live.url(MESH)
    async with http_client(live.url(GATEWAY), timeout=10) as http:
        services = (await http.get(f"{live.url(GATEWAY)}/api/registry")).json()["services"]
        names = [each["name"] for each in services if each["openapi"]]
        answers = [(await http.get(f"{mesh}/health/live", headers={"Host": name})).status_code for name in names]
    wrong = [f"{name}: {status}" for name, status in zip(names, answers, strict=True) if status != OK]
    if wrong:
        raise TemporaryError(f"at the mesh listener {mesh} answer {', '.join(wrong)}")
    return f"at {mesh} answer {', '.join(names)}"


async def replicas_answer(context: CheckContext) -> str:
    """Of a service with several replicas the registry lists each, and the mesh leads to each in turn."""
    service, replicas = replicated(context)
    if not service:
        return "no service has two replicas"
    registry = context.url(REGISTRY)
    async with http_client(registry) as http:
        listed = (await http.get(f"{registry}/v1/health/service/{service}?passing=1")).json()
    if len(listed) != len(replicas):
        raise TemporaryError(f"{service} has {len(replicas)} ready replicas, the registry lists {len(listed)} passing")
    answered: set[str] = set()
    async with http_client(context.url(MESH)) as http:
        for _ in range(ROUNDS * len(replicas)):
            answer = await http.get("/health/live", headers={"Host": service})
            if answer.status_code != OK:
                raise TemporaryError(f"{service} answers {answer.status_code} at the mesh listener")
            answered.add(answer.json()["instance"])
            if len(answered) == len(replicas):
                return f"{len(replicas)} replicas of {service} are registered, passing, and answer through the mesh"
    raise TemporaryError(f"of {len(replicas)} replicas of {service} only {', '.join(sorted(answered))} answers")


async def kill_unnoticed(context: CheckContext) -> str:
    """One replica of a service is killed under load, and no request fails.

    Envoy cannot repeat an answer that the replica was sending: at most one request of each client may be cut off.
    """
    service, replicas = replicated(context)
    if not service:
        return "nothing was killed: no service has two replicas"
    url = f"{context.url(GATEWAY)}/services/{service}/openapi.json"
    tally = Tally()
    async with http_client(context.url(GATEWAY), timeout=10) as http:
        callers = [asyncio.create_task(_call(http, url, tally)) for _ in range(CLIENTS)]
        await asyncio.sleep(KILL_AFTER)
        before = tally.answered
        await context.kill(replicas[0])
        await asyncio.gather(*callers)
    if tally.failures:
        failed = f"{len(tally.failures)} of {tally.answered + len(tally.failures)} requests failed"
        raise PermanentError(f"{failed} when {replicas[0].name} was killed, the first with {tally.failures[0]}")
    after = tally.answered - before
    cut = f", {tally.cut_off} cut off during the answer" if tally.cut_off else ""
    return f"{replicas[0].name} was killed under load: {after} requests to {service} after it, 0 failed{cut}"


@dataclass
class Tally:
    """Counts how requests ended."""

    answered: int = 0
    cut_off: int = 0
    failures: list[str] = field(default_factory=list)


async def _call(http: httpx2.AsyncClient, url: str, tally: Tally) -> None:
    from httpx2 import HTTPError, RemoteProtocolError  # noqa: PLC0415 - loaded when a check runs

    for _ in range(int(SECONDS / PAUSE)):
        try:
            status = (await http.get(url)).status_code
        except HTTPError as error:
            if isinstance(error, RemoteProtocolError) and _CUT_OFF in str(error) and tally.cut_off < CLIENTS:
                tally.cut_off += 1
                continue
            tally.failures.append(f"{error or type(error).__name__}")
        else:
            if status == OK:
                tally.answered += 1
            else:
                tally.failures.append(str(status))
        await asyncio.sleep(PAUSE)


def replicated(context: CheckContext) -> tuple[str, tuple[Instance, ...]]:
    """Return the first service with two ready replicas, and these; ("", ()) if there is none."""
    for service in (handoff.service for handoff in context.handoffs if isinstance(handoff, ServiceHandoff)):
        replicas = tuple(each for each in context.instances(service) if each.state == "ready")
        if len(replicas) > 1:
            return service, replicas
    return "", ()
