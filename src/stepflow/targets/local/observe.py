"""What there is, from two small files and the kernel: no process is asked anything."""

from __future__ import annotations

from collections.abc import Mapping

from stepflow.targets import Observed
from stepflow.targets.local.pair import alive
from stepflow.targets.local.platform import Platform
from stepflow.targets.local.spec import Process, Sight, State


def observe(platform: Platform) -> Mapping[str, Observed]:
    """Give every workload and server by name."""
    running = alive(platform.layout)
    groups: dict[str, list[Process]] = {}
    for process in sorted(platform.wanted().values(), key=lambda process: process.name):
        groups.setdefault(process.owner, []).append(process)
    return {name: _one(platform, name, group, running=running) for name, group in groups.items()}


def _one(platform: Platform, name: str, group: list[Process], *, running: bool) -> Observed:
    stopped = Sight("", state="stopped", detail="the platform's supervisor does not run")
    sights = [platform.sight(process) if running else stopped for process in group]
    first, wanted = group[0], max(process.replicas for process in group)
    digests = {process.digest for process in group}
    return Observed(
        name=name,
        kind=first.kind,
        state=_state(sights, wanted),
        digest=digests.pop() if len(digests) == 1 else "",
        replicas=wanted,
        ready=sum(sight.state == "ready" for sight in sights),
        url=first.url,
        handles=tuple(str(sight.pid) for sight in sights if sight.pid),
        restarts=sum(sight.restarts for sight in sights),
        detail=next((s.detail for s in sights if s.state != "ready"), sights[0].detail),
        log=first.log,
    )


def _state(sights: list[Sight], wanted: int) -> State:
    states = [sight.state for sight in sights]
    if "failed" in states:
        return "failed"
    if states.count("ready") >= wanted:
        return "ready"
    return "starting" if "starting" in states or "ready" in states else "stopped"
