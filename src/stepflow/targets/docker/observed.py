"""One snapshot of a platform on an engine: its containers with their readiness, images, volumes, network and ports."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import methodcaller
from pathlib import Path
from typing import Any, Literal, cast

from stepflow.errors import StepflowError
from stepflow.targets.building.pull import EngineImage, listed
from stepflow.targets.contract import Observed, State
from stepflow.targets.docker.filled import SALT, Machine, seal
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.targets.docker.inspected import Inspected, inspected
from stepflow.targets.docker.probe import ask
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import GONE, EngineRefusedError
from stepflow.targets.identity import NAME
from stepflow.targets.ports import free

BIRTH = "dev.stepflow.birth"  # of a volume: random


@dataclass(frozen=True, slots=True)
class EngineState:
    """What there is on the engine that concerns a platform, at one moment."""

    who: DockerIdentity | None = None  # None: the platform was never made
    copies: tuple[Inspected, ...] = ()
    network: str = ""  # id of the platform's network; "" when it does not exist
    foreign: frozenset[str] = frozenset()  # containers, networks and volumes that are not the platform's, by name
    births: Mapping[str, str] = field(default_factory=dict)  # volume of the platform -> what tells it from any other
    images: tuple[EngineImage, ...] | None = None  # None: the engine could not be asked
    used: Mapping[str, frozenset[str]] = field(default_factory=dict)  # id of an image -> owners of its containers
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # id of a copy's image -> its `Config`
    taken: frozenset[int] = frozenset()  # ports that cannot be had on this machine, of those that containers had
    machine: Machine = field(default_factory=Machine)
    seals: Mapping[str, str] = field(default_factory=dict)  # secret -> salted hash

    def of(self, owner: str) -> tuple[Inspected, ...]:
        """Return the copies of a workload or server."""
        return tuple(each for each in self.copies if each.record.owner == owner)


async def observe(engine: Engine, who: DockerIdentity | None, *, owner: str = "", probe: bool = True) -> EngineState:
    """Look at everything once, or (`owner`) at the containers of one workload or server. Changes nothing.

    Without `probe`, containers are not asked whether they are ready. Of a platform that was never made, only which
    images the engine has is looked at, as far as it can be asked.
    """
    if who is None:
        try:
            return EngineState(images=await listed(engine))
        except StepflowError:
            return EngineState()
    containers, images, volumes, networks, copies, info = await asyncio.gather(
        engine.ask(lambda api: api.containers(all=True)),
        listed(engine),
        engine.ask(lambda api: api.volumes()),
        engine.ask(lambda api: api.networks(names=[who.prefix])),
        inspect(engine, who, owner=owner),
        engine.info(),
    )
    asked = await asyncio.gather(*(_asked(engine, each) for each in copies)) if probe else copies
    used = sorted({each.image for each in copies if each.image})
    configs = dict(zip(used, await asyncio.gather(*(engine.config(each) for each in used)), strict=True))
    ours = [each for each in networks if each["Name"] == who.prefix and who.owns(each["Labels"])]
    named = [*(volumes.get("Volumes") or ()), *(each for each in networks if each["Name"] == who.prefix)]
    foreign = {each["Name"] for each in named if not who.owns(each["Labels"])}
    foreign |= {name[1:] for each in containers if not who.owns(each["Labels"]) for name in each["Names"] or ()}
    return EngineState(
        who=who,
        copies=tuple(asked),
        network=ours[0]["Id"] if ours else "",
        foreign=frozenset(foreign),
        births={
            each["Name"]: each["Labels"].get(BIRTH, "")
            for each in volumes.get("Volumes") or ()
            if who.owns(each["Labels"])
        },
        images=images,
        used=_used(containers, who),
        configs={image: config for image, config in configs.items() if config is not None},
        taken=_taken(containers, copies),
        machine=Machine.of(info),
        seals=_seals(who.secrets),
    )


async def inspect(engine: Engine, who: DockerIdentity, *, owner: str = "") -> tuple[Inspected, ...]:
    """Return a platform's containers, or those of one of its owners, by name."""
    filters = who.filters(*([f"{NAME}={owner}"] if owner else []))
    found = await engine.ask(lambda api: api.containers(all=True, filters=filters, quiet=True))
    each_one = await asyncio.gather(*(inspect_one(engine, who, each["Id"]) for each in found))
    return tuple(sorted((each for each in each_one if each), key=_order))


async def inspect_one(engine: Engine, who: DockerIdentity, container: str) -> Inspected | None:
    """Return one container; None when it is gone."""
    try:
        return inspected(await engine.ask(lambda api: api.inspect_container(container)), who)
    except EngineRefusedError as error:
        if error.status != GONE:
            raise
        return None


def inspect_now(engine: Engine, who: DockerIdentity, *, owner: str = "") -> list[Inspected]:
    """Return what `inspect` returns, blocking."""
    filters = who.filters(*([f"{NAME}={owner}"] if owner else []))
    found = []
    for each in engine.ask_now(lambda api: api.containers(all=True, filters=filters, quiet=True)):
        try:
            found.append(inspected(engine.ask_now(methodcaller("inspect_container", each["Id"])), who))
        except EngineRefusedError as error:
            if error.status != GONE:
                raise
    return sorted(found, key=_order)


def _order(copy: Inspected) -> tuple[str, int]:
    return copy.record.owner, copy.record.number


async def _asked(engine: Engine, copy: Inspected) -> Inspected:
    """Ask one that runs whether it is ready; what runs once to prepare others has no such probe."""
    if copy.condition != "running" or copy.record.kind == "setup":
        return copy
    return replace(copy, reply=await ask(engine, copy))


def _used(containers: Sequence[Mapping[str, Any]], who: DockerIdentity) -> dict[str, frozenset[str]]:
    used: dict[str, set[str]] = {}
    for each in containers:
        labels = each["Labels"] or {}
        used.setdefault(each["ImageID"], set()).add(labels.get(NAME, "") if who.owns(labels) else "")
    return {image: frozenset(owners) for image, owners in used.items()}


def _taken(containers: Sequence[Mapping[str, Any]], copies: Sequence[Inspected]) -> frozenset[int]:
    """Return the ports that copies had while they were up and could not have now."""
    had = {number for each in copies if not each.up for number in each.record.published.values()}
    return frozenset(number for number in had if number in published(containers) or not free(number))


def published(containers: Sequence[Mapping[str, Any]]) -> frozenset[int]:
    """Return the ports that running containers have: an engine without a proxy does not listen on them."""
    return frozenset(port["PublicPort"] for each in containers for port in each["Ports"] if port.get("PublicPort"))


def _seals(folder: Path) -> dict[str, str]:
    """Return the salted hashes of the secrets that exist; creates none."""
    if not (folder / SALT).exists():
        return {}
    texts = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name[0] != "."}
    return {name: seal(texts[SALT], text) for name, text in texts.items()}


def things(copies: Sequence[Inspected]) -> Mapping[str, Observed]:
    """Return what a user sees of the copies: every workload and server by name."""
    groups: dict[str, list[Inspected]] = {}
    for each in copies:
        if each.record.kind != "setup":
            groups.setdefault(each.record.owner, []).append(each)
    return {name: summary(name, group) for name, group in sorted(groups.items())}


def state(copy: Inspected) -> tuple[State, str]:
    """Return how a copy is, and why."""
    match copy.condition:
        case "running":
            reply = copy.reply
            return ("ready" if reply and reply.ok else "starting"), reply.text if reply else "it runs"
        case "restarting":
            return "starting", f"{copy.ending}; the engine restarts it"
        case "exited" | "dead":
            # One that was never ready is not restarted by the engine: that is left to the next run.
            return ("stopped" if copy.proven else "failed"), copy.ending
        case "created":
            return "stopped", "created, but never started"
        case _:
            return "stopped", copy.condition


def summary(name: str, group: Sequence[Inspected]) -> Observed:
    """Return one of the copies. As many as exist were asked for: no label could follow when their number is changed."""
    states = [state(each) for each in group]
    ready = [each for each, (how, _) in zip(group, states, strict=True) if how == "ready"]
    first = ready[0] if ready else group[0]
    digests = {each.record.digest for each in group}
    return Observed(
        name=name,
        kind=cast("Literal['workload', 'server']", first.record.kind),
        state=_common([how for how, _ in states]),
        digest=digests.pop() if len(digests) == 1 else "",
        replicas=len(group),
        ready=len(ready),
        url=first.url,
        handles=tuple(each.id[:12] for each in group if each.condition == "running"),
        restarts=sum(each.restarts for each in group),
        detail=next((why for how, why in states if how != "ready"), state(first)[1]),
    )


def _common(states: Sequence[State]) -> State:
    if "failed" in states:
        return "failed"
    if set(states) == {"ready"}:
        return "ready"
    return "starting" if "starting" in states or "ready" in states else "stopped"
