"""The numbers at which people reach ports on 127.0.0.1: the wish or the next free one, then kept with the container."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from stepflow.errors import PermanentError
from stepflow.targets import Progress
from stepflow.targets.docker.container import Container, HostPort, Listen
from stepflow.targets.docker.look import Found
from stepflow.targets.docker.platform import Platform
from stepflow.targets.engine.client import Engine
from stepflow.targets.ports import by, free

_FURTHER = 200  # numbers after the wish that are tried


async def choose(
    platform: Platform, containers: Sequence[Container], found: Sequence[Found], say: Callable[[Progress], None]
) -> Mapping[str, Mapping[str, int]]:
    """Give the numbers of all published ports: workload -> port -> number. Raises `PermanentError` when none is free.

    A port keeps its number as long as its container has it, or nobody else took it meanwhile.
    """
    kept = {each.record.owner: dict(each.record.published) for each in found if each.record.published}
    running = {each.record.owner for each in found if each.condition == "running"}
    if not any(listen.wish for container in containers for listen in container.listens):
        return kept
    async with platform.lock("ports"):
        others = await _of_containers(platform.engine)
        for container in containers:
            for listen in container.listens:
                if listen.wish is not None:
                    had = kept.get(container.name, {}).get(listen.name)
                    mine = container.name in running
                    number = await _number(platform, container, listen, had, say, others=others, mine=mine)
                    kept.setdefault(container.name, {})[listen.name] = number
    return kept


async def _number(
    platform: Platform, container: Container, listen: Listen, had: int | None, say: Callable[[Progress], None], *,
    others: frozenset[int], mine: bool,
) -> int:  # fmt: skip
    key = f"{container.name}/{listen.name}"
    had = had if had is not None else platform.ports.get(key)
    if had is not None and (mine or (free(had) and had not in others)):
        platform.ports[key] = had
        return had
    wish = listen.wish or 0
    others = others | {number for other, number in platform.ports.items() if other != key}
    candidates = range(wish, min(wish + _FURTHER, 65536))
    number = next((number for number in candidates if number not in others and free(number)), None)
    if number is None:
        raise PermanentError(f"no free port for `{key}` from {wish} on", hint="end something that listens, then resume")
    if number != (had or wish):
        who = await holder(platform.engine, had or wish)
        say(Progress(f"port {had or wish} is taken{who}: `{key}` gets {number} instead", remark=True))
    platform.ports[key] = number
    return number


def number_of(chosen: Mapping[str, Mapping[str, int]], port: HostPort) -> int:
    """Find the number that a placeholder stands for. Raises `PermanentError` for a port that people do not reach."""
    number = chosen.get(port.workload, {}).get(port.port)
    if number is None:
        raise PermanentError(f"the port `{port.port}` of `{port.workload}` is not published, or not there yet")
    return number


async def _of_containers(engine: Engine) -> frozenset[int]:
    """Give the ports that containers have: an engine without a proxy does not listen on them."""
    there = await engine.ask(lambda api: api.containers())
    return frozenset(port["PublicPort"] for each in there for port in each["Ports"] if port.get("PublicPort"))


async def holder(engine: Engine, number: int) -> str:
    """Name who has a port: " by the container `x`", " by `x` (pid 1)", or nothing where that cannot be seen."""
    there = await engine.ask(lambda api: api.containers(filters={"publish": str(number)}))
    names = [each["Names"][0].removeprefix("/") for each in there if each.get("Names")]
    return f" by the container `{names[0]}`" if names else by(number)
