"""Logs of pods, which nodes keep as long as the pods exist; for what never ran, the log of its image's build."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from urllib.parse import quote

from stepflow.errors import StepflowError, TemporaryError
from stepflow.targets.concurrency import put_by
from stepflow.targets.kubernetes.api.errors import ClusterRefusedError
from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.manifests.names import OURS
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.targets.kubernetes.state.session import ClusterSession
from stepflow.targets.kubernetes.state.snapshot import owner_of

_AGAIN = 0.5  # seconds until pods that ended are looked for again
_Line = tuple[str, str, str]  # its time (RFC 3339), the pod, the line


async def pods_of(session: ClusterSession, name: str) -> list[Object]:
    """Find the pods of a workload or server, or the pod of that name."""
    found = await session.client.list("v1", "Pod", session.namespace, f"{OURS}={session.identity.id}")
    return [each for each in found if name in {owner_of(each), each["metadata"]["name"]}]


async def lines(
    session: ClusterSession, name: str, found: Sequence[Object], *, follow: bool, tail: int
) -> AsyncGenerator[str]:
    """Yield the last lines of all pods in order of time, then new ones; lines of several pods carry the pod's name."""
    several = len(found) > 1
    written = await asyncio.gather(*(_written(session, each["metadata"]["name"], tail) for each in found))
    for _, pod, line in sorted(line for each in written for line in each):
        yield _marked(pod, line, several=several)
    if follow:
        seen = {
            each["metadata"]["name"]: last[-1][0] if last else "" for each, last in zip(found, written, strict=True)
        }
        async with aclosing(_followed(session, name, seen)) as followed:
            async for _, pod, line in followed:
                yield _marked(pod, line, several=several)


def build_log(identity: KubernetesIdentity, name: str) -> Path | None:
    """Find the log of the build of a workload's image."""
    file = identity.logs / f"image-{name}.log"
    return file if file.is_file() else None


async def _written(session: ClusterSession, pod: str, tail: int) -> list[_Line]:
    """Return the last lines of a pod; of one that was just started again, those of its last run before them."""
    if tail < 1:
        return []
    now = await _read(session, pod, tail, previous=False)
    before = await _read(session, pod, tail - len(now), previous=True) if len(now) < tail else []
    return [*before, *now]


async def _read(session: ClusterSession, pod: str, tail: int, *, previous: bool) -> list[_Line]:
    query = [("timestamps", "true"), ("tailLines", str(tail)), ("previous", "true" if previous else "false")]
    text = b""
    try:
        async for chunk in session.client.stream(_path(session, pod), query):
            text += chunk
    except ClusterRefusedError:  # it has not run yet, not before, or is gone by now
        return []
    return [_line(pod, line) for line in text.decode(errors="replace").split("\n") if line]


def _followed(session: ClusterSession, name: str, seen: dict[str, str]) -> AsyncGenerator[_Line]:
    """Yield each new line, forever, also of pods that are created later, and after a container restarts."""
    return put_by(lambda queue: _watch(session, name, seen, queue))


async def _watch(session: ClusterSession, name: str, seen: dict[str, str], queue: asyncio.Queue[_Line | None]) -> None:
    """Follow every pod that runs, each in a task of its own."""
    followed: dict[str, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        while True:
            for each in await _found(session, name):
                pod = each["metadata"]["name"]
                idle = pod not in followed or followed[pod].done()
                if idle and each.get("status", {}).get("phase") == "Running":
                    followed[pod] = group.create_task(_follow(session, pod, seen, queue))
            await asyncio.sleep(_AGAIN)


async def _found(session: ClusterSession, name: str) -> list[Object]:
    try:
        return await pods_of(session, name)
    except TemporaryError:  # a log that is followed for hours outlives a restart of the cluster
        return []


async def _follow(session: ClusterSession, pod: str, seen: dict[str, str], queue: asyncio.Queue[_Line | None]) -> None:
    """Follow a pod from the last line that was seen of it: `seen` has its time."""
    query = [("timestamps", "true"), ("follow", "true")]
    query += [("sinceTime", seen[pod])] if seen.get(pod) else []
    rest = b""
    try:
        async with aclosing(session.client.stream(_path(session, pod), query)) as chunks:
            async for chunk in chunks:
                *whole, rest = (rest + chunk).split(b"\n")
                for raw in whole:
                    line = _line(pod, raw.decode(errors="replace"))
                    if line[0] > seen.get(pod, ""):  # `sinceTime` counts whole seconds
                        seen[pod] = line[0]
                        await queue.put(line)
    except StepflowError:  # it is gone or not running now; the next listing finds its successor
        return


def _line(pod: str, text: str) -> _Line:
    time, _, line = text.partition(" ")
    return time, pod, line


def _marked(pod: str, line: str, *, several: bool) -> str:
    return f"{pod} | {line}" if several else line


def _path(session: ClusterSession, pod: str) -> str:
    return f"/api/v1/namespaces/{session.namespace}/pods/{quote(pod)}/log"
