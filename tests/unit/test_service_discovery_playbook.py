"""What the gateway's own process takes from those who reach its ports."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest

from stepflow.errors import TemporaryError
from stepflow.handoff import Endpoint, Handoff, ServiceHandoff
from stepflow.targets.contract import Desired, discard
from stepflow.targets.local.programs import find
from stepflow.testing import FakeLive, FakeTarget
from stepflow.workload import Declaration, HttpProbe, Workload
from stepflow_playbooks.service_discovery.checks import checks, kill_unnoticed, replicas_answer, replicated
from stepflow_playbooks.service_discovery.playbook import bootstrap

START = 90.0  # seconds


async def test_envoys_admin_port_answers_probes_and_an_orderly_stop_and_nothing_else(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    admin = dict(cast("dict[str, Any]", bootstrap())["admin"])
    admin["address"] = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps({"admin": admin}), encoding="utf-8")
    command = (find("envoy").path, "-c", str(file), "--use-dynamic-base-id", "--concurrency", "1", "-l", "error")
    process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path)
    try:
        async with (
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=START) as http,
            asyncio.timeout(START),
        ):
            await _answers(http)
            opened = [await http.get(path) for path in ("/ready", "/stats?filter=server.live", "/stats/prometheus")]
            opened += [await http.post(path) for path in ("/healthcheck/fail", "/drain_listeners?graceful&skip_exit")]
            closed = [await http.get(path) for path in ("/config_dump", "/certs", "/", "/clusters")]
            closed += [await http.post(path) for path in ("/quitquitquit", "/logging?level=trace", "/runtime_modify")]
    finally:
        process.kill()
        await process.wait()
    assert [answer.status_code for answer in opened] == [200] * 5
    assert [answer.status_code for answer in closed] == [403] * 7


async def _answers(http: httpx2.AsyncClient) -> None:
    while True:
        try:
            await http.get("/ready")
        except httpx2.ConnectError:
            await asyncio.sleep(0.05)
        else:
            return


async def test_the_replica_that_is_killed_belongs_to_a_service_that_this_platform_hands_off() -> None:
    """Whatever its services are called; a platform without replicas has none to kill, and says so."""
    tills = ServiceHandoff(service="tills", endpoint=Endpoint("tills"))
    target = FakeTarget()
    context = FakeLive(target, "fake", target.out, (Handoff(), tills))
    for replicas, found in ((1, ""), (2, "tills")):
        workload = Workload("tills", ("python",), HttpProbe("/"), replicas=replicas)
        await target.apply(Desired(Declaration((workload,)), {}), discard)
        service, copies = replicated(context)
        assert (service, len(copies)) == (found, replicas if found else 0)
    gateway = Workload("gateway", ("envoy",), HttpProbe("/"))
    await target.apply(Desired(Declaration((gateway,)), {}), discard)
    alone = FakeLive(target, "fake", target.out, ())
    assert await kill_unnoticed(alone) == "nothing was killed: no service has two replicas"
    assert await replicas_answer(alone) == "no service has two replicas"


def test_only_a_check_that_is_marked_as_chaos_kills_and_the_mesh_is_proven_without_it() -> None:
    proving = {each.name: each.chaos for each in checks() if each.proves == ("Service mesh with API gateway",)}
    assert proving == {
        "the mesh leads to every service": False,
        "every replica is registered and answers": False,
        "a killed instance goes unnoticed": True,
    }


async def test_replicas_are_proven_by_the_registry_and_by_the_answer_of_each_through_the_mesh() -> None:
    """Fewer in the registry than run, and one that never answers, are what may pass."""
    tills = ServiceHandoff(service="tills", endpoint=Endpoint("tills"))
    target = FakeTarget()
    two = Workload("tills", ("python",), HttpProbe("/"), replicas=2)
    await target.apply(Desired(Declaration((two,)), {}), discard)
    turns = iter(["tills-1", "tills-1", "tills-2"])

    class Served(FakeLive):
        def url(self, endpoint: Endpoint) -> str:
            del endpoint
            return f"http://127.0.0.1:{port}"

    def of(request: str) -> object:
        if "/v1/health/service/tills" in request:
            return [{}] * listed
        return {"instance": next(turns, "tills-1")}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps(of((await reader.readuntil(b"\r\n\r\n")).decode())).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        context = Served(target, "fake", target.out, (tills,))
        listed = 2
        proven = "2 replicas of tills are registered, passing, and answer through the mesh"
        assert await replicas_answer(context) == proven
        with pytest.raises(TemporaryError, match=r"^of 2 replicas of tills only tills-1 answers$"):
            await replicas_answer(context)
        listed = 1
        with pytest.raises(TemporaryError, match=r"^tills has 2 ready replicas, the registry lists 1 passing$"):
            await replicas_answer(context)
