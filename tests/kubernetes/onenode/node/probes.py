"""Probes and hooks, really asked; the words for what is wrong are a kubelet's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from docker.errors import APIError

from onenode.kinds import Object
from onenode.node.engine import Engine

_BAD = 400  # the first HTTP status that fails a probe


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks one container of a pod."""

    engine: Engine
    container: str
    address: str
    ports: Mapping[str, int]

    async def ask(self, probe: Object) -> str:
        """Ask once; returns "" for success, otherwise what is wrong."""
        patience = probe["timeoutSeconds"]
        if "exec" in probe:
            return await self._run(probe["exec"]["command"], patience)
        asked = probe["httpGet" if "httpGet" in probe else "tcpSocket"]
        where = f"{self.address}:{self.ports.get(str(asked['port']), asked['port'])}"
        if "httpGet" in probe:
            return await _get(f"{asked['scheme'].lower()}://{where}{asked['path']}", asked, patience)
        return await _connect(where, patience)

    async def hook(self, what: Object) -> None:
        """Carry out a `preStop` hook; one that fails keeps nothing from ending."""
        if "sleep" in what:
            await asyncio.sleep(what["sleep"]["seconds"])
            return
        with suppress(OSError, APIError):
            await self.ask({**what, "timeoutSeconds": 3600})

    async def _run(self, command: list[str], patience: float) -> str:
        try:
            code, output = await self.engine.run_in(self.container, command, patience)
        except (TimeoutError, APIError) as error:  # it takes too long, or the container is not running any longer
            return f"command {command} failed: {error}"
        return output.strip() or f"command exited with {code}" if code else ""


async def _get(url: str, asked: Object, patience: float) -> str:
    limit = aiohttp.ClientTimeout(patience)
    headers = {each["name"]: each["value"] for each in asked.get("httpHeaders", ())}
    try:
        async with aiohttp.ClientSession(timeout=limit) as session, session.get(url, headers=headers) as answer:
            await answer.read()
            return "" if answer.status < _BAD else f"HTTP probe failed with statuscode: {answer.status}"
    except TimeoutError:
        return f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    except aiohttp.ClientConnectorError:
        return f'Get "{url}": dial tcp {url.split("/")[2]}: connect: connection refused'
    except aiohttp.ClientError as error:
        return f'Get "{url}": {error}'


async def _connect(where: str, patience: float) -> str:
    try:
        async with asyncio.timeout(patience):
            _, writer = await asyncio.open_connection(*where.split(":"))
    except TimeoutError:
        return f"dial tcp {where}: i/o timeout"
    except OSError:
        return f"dial tcp {where}: connect: connection refused"
    writer.close()
    return ""
