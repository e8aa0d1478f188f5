"""Whether a container is ready: an HTTP request from this machine, or its own health command inside it."""

from __future__ import annotations

import asyncio
from http.client import HTTPConnection, HTTPException

from stepflow.targets.docker.inspected import Inspected, Reply
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import EngineRefusedError
from stepflow.targets.ports import HOST, request
from stepflow.workload import HttpProbe

_LONGEST = 200  # characters of an answer that are shown


async def ask(engine: Engine, copy: Inspected) -> Reply:
    """Ask a running container once; that it does not answer is a reply, too."""
    if copy.record.ready is not None:
        return await _http(copy, copy.record.ready)
    if copy.record.health:
        return await _command(engine, copy)
    return Reply(ok=True, text="it runs")


async def _http(copy: Inspected, probe: HttpProbe) -> Reply:
    number = copy.port(probe.port)
    if number is None:
        return Reply(ok=False, text=f"its port `{probe.port}` is not reachable yet")
    try:
        async with asyncio.timeout(probe.timeout):
            status, body = await request(number, probe.path)
    except TimeoutError:
        return Reply(ok=False, text=f"GET {probe.path} had no answer in {probe.timeout:g} s")
    except (OSError, ValueError):
        # The engine listens in a container's name before anything in it does, and then closes the connection.
        return Reply(ok=False, text=f"nothing listens on its port `{probe.port}` yet")
    ok = 200 <= status < 300  # noqa: PLR2004 - RFC 9110, section 15.3
    excerpt = "" if ok else f" {_short(body)}"
    return Reply(ok=ok, text=f"GET {probe.path} answers {status}{excerpt}")


async def _command(engine: Engine, copy: Inspected) -> Reply:
    if copy.health == "healthy":
        return Reply(ok=True, text="its health check succeeds")
    try:
        ran = await engine.ask(lambda api: api.exec_create(copy.id, list(copy.record.health)))
        output: bytes = await engine.ask(lambda api: api.exec_start(ran["Id"]))
        code = (await engine.ask(lambda api: api.exec_inspect(ran["Id"])))["ExitCode"]
    except EngineRefusedError as error:  # it has just ended
        return Reply(ok=False, text=error.text)
    said = _short(output.decode(errors="replace"))
    return Reply(ok=code == 0, text=f"`{copy.record.health[0]}` exits with {code}{f': {said}' if said else ''}")


def _short(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]


def ask_now(copy: Inspected) -> bool:
    """Ask a running workload over HTTP, blocking; return true where it has no such probe."""
    probe, number = copy.record.ready, copy.port(copy.record.ready.port) if copy.record.ready else None
    if probe is None:
        return True
    if number is None:
        return False
    connection = HTTPConnection(HOST, number, timeout=probe.timeout)
    try:
        connection.request("GET", probe.path)
        status = connection.getresponse().status
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return 200 <= status < 300  # noqa: PLR2004 - RFC 9110, section 15.3
