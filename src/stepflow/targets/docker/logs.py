"""What containers wrote: the engine keeps it. Of what was never started there is the log of its image's build."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from stepflow.targets.concurrency import put_by
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.targets.docker.inspected import Inspected
from stepflow.targets.docker.observed import inspect
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import EngineRefusedError

_AGAIN = 0.3  # seconds until a container that ended is looked for again


async def lines(
    engine: Engine, identity: DockerIdentity, found: Sequence[Inspected], *, follow: bool, tail: int
) -> AsyncGenerator[str]:
    """Yield the last lines of each in the order of time, then all as they come; those of several carry their names."""
    several = len(found) > 1
    written = await asyncio.gather(*(_written(engine, each, tail) for each in found))
    for _, name, line in sorted(line for each in written for line in each):
        yield _marked(name, line, several=several)
    if follow:
        async with aclosing(_followed(engine, identity, found)) as followed:
            async for name, line in followed:
                yield _marked(name, line, several=several)


def build_log(identity: DockerIdentity, name: str) -> Path | None:
    """Return the log of the build of a workload's image."""
    file = identity.logs / f"image-{name}.log"
    return file if file.is_file() else None


async def _written(engine: Engine, found: Inspected, tail: int) -> list[tuple[str, str, str]]:
    """Return the last lines of a copy, each with its time (as text of one length) and the copy's name."""
    if tail < 1:
        return []
    try:
        text: bytes = await engine.ask(lambda api: api.logs(found.id, tail=tail, timestamps=True))
    except EngineRefusedError:  # it is gone by now
        return []
    stamped = (line.partition(" ") for line in text.decode(errors="replace").split("\n") if line)
    return [(time, found.instance, line) for time, _, line in stamped]


def _followed(engine: Engine, identity: DockerIdentity, found: Sequence[Inspected]) -> AsyncGenerator[tuple[str, str]]:
    """Yield each new line with the name of its copy until cancelled, also of copies that are created later."""
    owners, old = {each.record.owner for each in found}, {each.id for each in found}
    return put_by(lambda queue: _watch(engine, identity, owners, old, queue))


async def _watch(
    engine: Engine,
    identity: DockerIdentity,
    owners: set[str],
    old: set[str],
    queue: asyncio.Queue[tuple[str, str] | None],
) -> None:
    """Follow every running container of the owners, each in a task of its own."""
    followed: dict[str, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        while True:
            for each in await inspect(engine, identity):
                idle = each.id not in followed or followed[each.id].done()
                if each.record.owner in owners and each.condition == "running" and idle:
                    new = each.id not in old and each.id not in followed
                    since = "all" if new else 0
                    followed[each.id] = group.create_task(_follow(engine, each, since, queue))
            await asyncio.sleep(_AGAIN)


async def _follow(
    engine: Engine, found: Inspected, tail: int | str, queue: asyncio.Queue[tuple[str, str] | None]
) -> None:
    rest = b""
    try:
        stream = engine.stream(lambda api: api.logs(found.id, stream=True, follow=True, tail=tail))
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    await queue.put((found.instance, line.decode(errors="replace")))
    except EngineRefusedError:  # it is gone by now
        return


def _marked(name: str, line: str, *, several: bool) -> str:
    return f"{name} | {line}" if several else line
