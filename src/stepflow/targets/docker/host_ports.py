"""The numbers at which people reach ports on 127.0.0.1: the wish or the next free one, then kept with the container."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stepflow.errors import PermanentError
from stepflow.targets.contract import Progress
from stepflow.targets.docker.container import Container, Listen
from stepflow.targets.docker.filled import ChosenPorts
from stepflow.targets.docker.observed import EngineState, published
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.ports import by, free
from stepflow.workload import Workload

_FURTHER = 200  # numbers after the wish that are tried


def foreseen(containers: Sequence[Container], workloads: Iterable[Workload], seen: EngineState) -> ChosenPorts:
    """Return the numbers of published ports as far as they can be foreseen: those that containers have; pure.

    A port keeps its number as long as its container has it, or it is still free.
    """
    chosen: dict[str, dict[str, int | None]] = {}
    for each in workloads:
        chosen[each.name] = {port.name: None for port in each.ports if port.published}
    for container in containers:
        chosen[container.name] = {each.name: None for each in container.listens if each.wish is not None}
    for name, ports in _kept(containers, seen).items():
        up = any(each.up for each in seen.of(name))
        still = {port: number if up or number not in seen.taken else None for port, number in ports.items()}
        chosen[name] = {**chosen.get(name, {}), **still}
    return chosen


def _kept(containers: Sequence[Container], seen: EngineState) -> dict[str, dict[str, int]]:
    """Return the numbers in the labels of copies; where those cannot be read, the numbers that it has while it runs."""
    kept = {each.record.owner: dict(each.record.published) for each in seen.copies if each.record.published}
    for container in containers:
        people = {each.name: each.number for each in container.listens if each.wish is not None}
        for copy in (each for each in seen.of(container.name) if not each.readable):
            has = {name: copy.ports[inside] for name, inside in people.items() if inside in copy.ports}
            kept[container.name] = {**has, **kept.get(container.name, {})}
    return kept


@dataclass(frozen=True, slots=True)
class HostPorts:
    """Chooses numbers, so that steps that run at the same time do not choose the same one."""

    engine: Engine
    promised: dict[str, int] = field(default_factory=dict)  # `gateway/http` -> the number that was chosen for it

    async def choose(
        self, containers: Sequence[Container], seen: EngineState, say: Callable[[Progress], None]
    ) -> Mapping[str, Mapping[str, int]]:
        """Choose the numbers of all published ports: workload -> port -> number.

        One step at a time may choose. Raises `PermanentError` when none is free.
        """
        kept = _kept(containers, seen)
        up = {each.record.owner for each in seen.copies if each.up}
        wished = [(each, listen) for each in containers for listen in each.listens if listen.wish is not None]
        others = published(await self.engine.ask(lambda api: api.containers())) if wished else frozenset()
        for container, listen in wished:
            had = kept.get(container.name, {}).get(listen.name)
            mine = container.name in up
            number = await self._number(container, listen, had, say, others=others, mine=mine)
            kept.setdefault(container.name, {})[listen.name] = number
        return kept

    def forget(self, number: int) -> None:
        """Choose another number next time."""
        for key in [key for key, kept in self.promised.items() if kept == number]:
            del self.promised[key]

    async def _number(
        self, container: Container, listen: Listen, had: int | None, say: Callable[[Progress], None], *,
        others: frozenset[int], mine: bool,
    ) -> int:  # fmt: skip
        key = f"{container.name}/{listen.name}"
        had = had if had is not None else self.promised.get(key)
        if had is not None and (mine or (free(had) and had not in others)):
            self.promised[key] = had
            return had
        wish = listen.wish or 0
        others = others | {number for other, number in self.promised.items() if other != key}
        candidates = range(wish, min(wish + _FURTHER, 65536))
        number = next((number for number in candidates if number not in others and free(number)), None)
        if number is None:
            hint = "end a program that listens on one, then `stepflow resume`"
            raise PermanentError(f"none of the ports from {wish} to {candidates[-1]} is free for `{key}`", hint=hint)
        if number != (had or wish):
            who = await self.holder(had or wish)
            say(Progress(f"port {had or wish} is taken{who}: `{key}` gets {number} instead", remark=True))
        self.promised[key] = number
        return number

    async def holder(self, number: int) -> str:
        """Return who has a port: " by the container `x`", " by `x` (pid 1)", or nothing where that is not visible."""
        having = await self.engine.ask(lambda api: api.containers(filters={"publish": str(number)}))
        names = [each["Names"][0].removeprefix("/") for each in having if each.get("Names")]
        return f" by the container `{names[0]}`" if names else by(number)
