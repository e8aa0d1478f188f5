"""What there is, by workload and server: one look at the engine, and one question to each container that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from stepflow.targets import Observed
from stepflow.targets.docker.identity import Identity
from stepflow.targets.docker.look import Found, look
from stepflow.targets.docker.probe import ask
from stepflow.targets.engine.client import Engine

State = Literal["ready", "starting", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Sight:
    """A container, and how it is."""

    found: Found
    state: State
    detail: str


async def observe(engine: Engine, identity: Identity) -> Mapping[str, Observed]:
    """Give every workload and server by name."""
    groups: dict[str, list[Sight]] = {}
    for sight in await sights(engine, await look(engine, identity)):
        groups.setdefault(sight.found.record.owner, []).append(sight)
    return {name: summary(name, group) for name, group in sorted(groups.items())}


async def sights(engine: Engine, found: Sequence[Found]) -> list[Sight]:
    """Ask all of them at once, but for what only runs once to prepare others."""
    return await asyncio.gather(*(_sight(engine, each) for each in found if each.record.kind != "setup"))


async def _sight(engine: Engine, found: Found) -> Sight:
    if found.condition == "running":
        answer = await ask(engine, found)
        return Sight(found, "ready" if answer.ok else "starting", answer.text)
    return Sight(found, *resting(found))


def resting(found: Found) -> tuple[State, str]:
    """Say how a container is that does not run, and why."""
    match found.condition:
        case "restarting":
            return "starting", f"it {found.ending}, and is started again"
        case "exited" | "dead":
            # One that was never ready is not started again by the engine: that is left to the next run.
            return ("stopped" if found.proven else "failed"), f"it {found.ending}"
        case "created":
            return "stopped", "it was made, but never started"
        case _:
            return "stopped", f"it is {found.condition}"


def summary(name: str, group: Sequence[Sight]) -> Observed:
    """Make one of the copies. As many as there are shall be: no label could follow when their number is changed."""
    first = next((sight for sight in group if sight.state == "ready"), group[0])
    digests = {sight.found.record.digest for sight in group}
    return Observed(
        name=name,
        kind=cast("Literal['workload', 'server']", first.found.record.kind),
        state=_state([sight.state for sight in group]),
        digest=digests.pop() if len(digests) == 1 else "",
        replicas=len(group),
        ready=sum(sight.state == "ready" for sight in group),
        url=first.found.url,
        handles=tuple(sight.found.id[:12] for sight in group if sight.found.condition == "running"),
        restarts=sum(sight.found.restarts for sight in group),
        detail=next((sight.detail for sight in group if sight.state != "ready"), first.detail),
    )


def _state(states: Sequence[State]) -> State:
    if "failed" in states:
        return "failed"
    if set(states) == {"ready"}:
        return "ready"
    return "starting" if "starting" in states or "ready" in states else "stopped"
