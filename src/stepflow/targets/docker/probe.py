"""Whether a container is ready: an HTTP question from this machine, or its own health command inside it."""

from __future__ import annotations

import asyncio
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple

from stepflow.targets.docker.look import Found
from stepflow.targets.engine.client import Engine
from stepflow.targets.engine.errors import RefusedError
from stepflow.targets.ports import HOST
from stepflow.targets.request import request
from stepflow.workload import HttpProbe

_LONGEST = 200  # characters of an answer that are shown


class Answer(NamedTuple):
    """What was answered, in words."""

    ok: bool
    text: str


async def ask(engine: Engine, found: Found) -> Answer:
    """Ask a running container once; no answer is an answer."""
    if found.record.ready is not None:
        return await _http(found, found.record.ready)
    if found.record.health:
        return await _command(engine, found)
    return Answer(ok=True, text="it runs")


async def _http(found: Found, probe: HttpProbe) -> Answer:
    number = found.port(probe.port)
    if number is None:
        return Answer(ok=False, text=f"its port `{probe.port}` is not reachable yet")
    try:
        async with asyncio.timeout(probe.timeout):
            status, body = await request(number, probe.path)
    except TimeoutError:
        return Answer(ok=False, text=f"GET {probe.path} had no answer in {probe.timeout:g} s")
    except (OSError, ValueError):
        # The engine listens in a container's name before anything in it does, and then closes the connection.
        return Answer(ok=False, text=f"nothing listens on its port `{probe.port}` yet")
    ok = 200 <= status < 300  # noqa: PLR2004 - RFC 9110, section 15.3
    excerpt = "" if ok else f" {_short(body)}"
    return Answer(ok=ok, text=f"GET {probe.path} answers {status}{excerpt}")


async def _command(engine: Engine, found: Found) -> Answer:
    if found.health == "healthy":
        return Answer(ok=True, text="its healthcheck succeeds")
    try:
        ran = await engine.ask(lambda api: api.exec_create(found.id, list(found.record.health)))
        output: bytes = await engine.ask(lambda api: api.exec_start(ran["Id"]))
        code = (await engine.ask(lambda api: api.exec_inspect(ran["Id"])))["ExitCode"]
    except RefusedError as error:  # it ended meanwhile
        return Answer(ok=False, text=error.text)
    said = _short(output.decode(errors="replace"))
    return Answer(ok=code == 0, text=f"`{found.record.health[0]}` exits with {code}{f': {said}' if said else ''}")


def _short(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]


def ask_now(found: Found) -> bool:
    """Ask a running workload over HTTP, blocking; true where it has no such probe."""
    probe, number = found.record.ready, found.port(found.record.ready.port) if found.record.ready else None
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
