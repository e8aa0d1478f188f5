"""How the running gateway is verified."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stepflow.errors import PermanentError, TemporaryError
from stepflow.playbook import Check
from stepflow.workload import Instance, Live
from stepflow_playbooks.journey import http_client
from stepflow_playbooks.service_discovery.handoff import GATEWAY, MESH, REGISTRY

if TYPE_CHECKING:
    import httpx2

OUTCOME = "Service mesh with API gateway"
CANDIDATES = ("user-service", "order-service", "notification-service", "data-pipeline", "payment-provider")
CLIENTS, PAUSE, SECONDS, KILL_AFTER = 4, 0.2, 6.0, 1.0  # 20 requests a second, below the default rate limit
OK = 200
_CUT_OFF = "without sending complete message body"  # as the client says it


def checks() -> tuple[Check, ...]:
    """All of them."""
    return (
        Check("gateway answers", gateway_answers),
        Check("registry answers", registry_answers),
        Check("the mesh leads to every service", mesh_leads, proves=(OUTCOME,), when="run"),
        Check("a killed instance goes unnoticed", kill_unnoticed, proves=(OUTCOME,), when="run", timeout=60),
    )


async def gateway_answers(live: Live) -> str:
    """The front page comes through Envoy, and the list behind it knows the control plane."""
    async with http_client(live.url(GATEWAY), timeout=10) as http:
        url = live.url(GATEWAY)
        page = await http.get(f"{url}/")
        listed = await http.get(f"{url}/api/registry")
    if page.status_code != OK or listed.status_code != OK:
        raise TemporaryError(f"{url}/ answers {page.status_code}, {url}/api/registry {listed.status_code}")
    names = [service["name"] for service in listed.json()["services"]]
    return f"{url}/ answers 200; registered: {', '.join(names)}"


async def registry_answers(live: Live) -> str:
    """A Consul client finds the control plane itself."""
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


async def kill_unnoticed(live: Live) -> str:
    """One of two copies is killed while requests run; none of them fails.

    An answer that it was just sending cannot be repeated by anybody: at most one a client is cut off.
    """
    service, copies = _doubled(live)
    if not service:
        return "nothing was killed: no service runs in two copies"
    url = f"{live.url(GATEWAY)}/services/{service}/openapi.json"
    tally = Tally()
    async with http_client(live.url(GATEWAY), timeout=10) as http:
        callers = [asyncio.create_task(_call(http, url, tally)) for _ in range(CLIENTS)]
        await asyncio.sleep(KILL_AFTER)
        before = tally.answered
        await live.kill(copies[0])
        await asyncio.gather(*callers)
    if tally.failures:
        failed = f"{len(tally.failures)} of {tally.answered + len(tally.failures)} requests failed"
        raise PermanentError(f"{failed} when {copies[0].name} was killed, the first with {tally.failures[0]}")
    after = tally.answered - before
    cut = f", {tally.cut_off} cut off while it was being answered" if tally.cut_off else ""
    return f"{copies[0].name} was killed under load: {after} requests to {service} after it, 0 failed{cut}"


@dataclass
class Tally:
    """What became of the requests."""

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


def _doubled(live: Live) -> tuple[str, tuple[Instance, ...]]:
    for service in CANDIDATES:
        copies = tuple(copy for copy in live.instances(service) if copy.state == "ready")
        if len(copies) > 1:
            return service, copies
    return "", ()
