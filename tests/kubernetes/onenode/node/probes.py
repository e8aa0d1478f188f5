"""Probes, really asked; what they answer is said as a kubelet says it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiohttp
from docker.errors import APIError

from onenode.kinds import Object
from onenode.node.engine import Engine

_WORDS = {"startupProbe": "Startup", "readinessProbe": "Readiness", "livenessProbe": "Liveness"}


async def once(engine: Engine, container: str, address: str, ports: dict[str, int], probe: Object) -> str:
    """Ask once; gives "" where all is well, otherwise what is wrong."""
    patience = probe["timeoutSeconds"]
    if "exec" in probe:
        return await _command(engine, container, probe["exec"]["command"], patience)
    asked = probe.get("httpGet") or probe.get("tcpSocket") or {}
    port = ports.get(str(asked["port"]), asked["port"])
    if "httpGet" in probe:
        headers = {each["name"]: each["value"] for each in asked.get("httpHeaders", ())}
        return await _get(f"{asked['scheme'].lower()}://{address}:{port}{asked['path']}", headers, patience)
    try:
        async with asyncio.timeout(patience):
            _, writer = await asyncio.open_connection(address, int(port))
    except TimeoutError:
        return f"dial tcp {address}:{port}: i/o timeout"
    except OSError:
        return f"dial tcp {address}:{port}: connect: connection refused"
    writer.close()
    return ""


async def _command(engine: Engine, container: str, command: list[str], patience: float) -> str:
    try:
        code, output = await engine.run_in(container, command, patience)
    except TimeoutError:
        return f"command timed out: {command} timed out after {patience:g}s"
    except APIError as error:
        return str(error.explanation)
    return output.strip() or f"command exited with {code}" if code else ""


async def _get(url: str, headers: dict[str, str], patience: float) -> str:
    limit = aiohttp.ClientTimeout(total=patience)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.get(url, headers=headers, ssl=False) as answer,
        ):
            await answer.read()
            bad = 400
            return "" if answer.status < bad else f"HTTP probe failed with statuscode: {answer.status}"
    except TimeoutError:
        return f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    except aiohttp.ClientConnectorError:
        where = url.partition("://")[2].partition("/")[0]
        return f'Get "{url}": dial tcp {where}: connect: connection refused'
    except aiohttp.ClientError as error:
        return f'Get "{url}": {error}'


async def keep_asking(  # noqa: PLR0917 - what is asked, and who hears of it
    name: str, probe: Object, ask: Callable[[], Awaitable[str]], passed: Callable[[], object],
    failed: Callable[[], object], tell: Callable[[str], object],
) -> None:  # fmt: skip
    """Ask for ever: tell each failure, and call `passed` and `failed` when a threshold is reached."""
    good = bad = 0
    await asyncio.sleep(probe.get("initialDelaySeconds", 0))
    while True:
        wrong = await ask()
        good, bad = (0, bad + 1) if wrong else (good + 1, 0)
        if wrong:
            tell(f"{_WORDS[name]} probe failed: {wrong}")
        if bad >= probe["failureThreshold"]:
            failed()
        if good >= probe["successThreshold"]:
            passed()
        await asyncio.sleep(probe["periodSeconds"])


async def hook(engine: Engine, container: str, address: str, ports: dict[str, int], what: Object) -> None:
    """Carry out a `preStop` hook; one that fails keeps nothing from ending."""
    if "sleep" in what:
        await asyncio.sleep(what["sleep"]["seconds"])
        return
    probe = {**what, "timeoutSeconds": 3600}
    if "httpGet" in what:
        probe["httpGet"] = {"scheme": "HTTP", "path": "/", **what["httpGet"]}
    with suppress(OSError, APIError):
        await once(engine, container, address, ports, probe)
