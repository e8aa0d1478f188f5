"""Making a declaration true: what the Docker target brings to the loop that converges every target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stepflow.targets.actions import Action
from stepflow.targets.building.pull import find, remark_another
from stepflow.targets.concurrency import together
from stepflow.targets.contract import Desired
from stepflow.targets.converge import Say, converge
from stepflow.targets.docker.container import Container, Secret
from stepflow.targets.docker.desired import containers
from stepflow.targets.docker.execute import Provided, drop_image, execute, provide, ready
from stepflow.targets.docker.filled import SALT, ChosenPorts, build_context
from stepflow.targets.docker.host_ports import foreseen
from stepflow.targets.docker.observed import EngineState, inspect, observe
from stepflow.targets.docker.reconcile import Printed, is_early, reconcile
from stepflow.targets.docker.session import EngineSession
from stepflow.targets.images import parse
from stepflow.targets.resolution import Resolution, resolution
from stepflow.targets.secretfiles import require_given, secret_file


def plan(desired: Desired, seen: EngineState, options: Mapping[str, str]) -> tuple[Action, ...]:
    """Return what has to be done for a step; what several containers need comes once; pure."""
    listed = _containers(resolution(desired), seen, options)
    chosen = foreseen(listed, desired.platform, seen)
    actions = (action for each in listed for action in reconcile(each, seen, chosen, options))
    once: dict[object, Action] = {}
    for action in actions:
        key = (action.verb, action.name) if is_early(action) else object()
        once.setdefault(key, action)
    return tuple(once.values())


async def apply(session: EngineSession, desired: Desired, say: Say) -> tuple[Action, ...]:
    """See `stepflow.targets.contract.Target.apply`."""
    options = session.site.options
    seen = await observe(session.engine, session.identity, probe=False)
    resolved = resolution(desired)
    listed = _containers(resolved, seen, options)
    require_given(session.identity.secrets, resolved.workloads)
    for each in listed:
        _ensure_secrets(session, each)
    before = foreseen(listed, desired.platform, seen)
    async with session.locks.held("host ports"):
        chosen = await session.ports.choose(listed, seen, say)
    planned = (action for each in listed for action in reconcile(each, seen, before, options))
    fetched = frozenset(action.owner for action in planned if action.verb in {"pull", "build"})
    return await converge(_Executor(session, options, seen, before, chosen, fetched), listed, session.locks, say)


def _containers(resolved: Resolution, seen: EngineState, options: Mapping[str, str]) -> tuple[Container, ...]:
    known = {each.record.owner: each.record.listens for each in seen.copies if each.record.kind == "workload"}
    return containers(resolved, options, known)


def _ensure_secrets(session: EngineSession, container: Container) -> None:
    """Create the secrets that a container is given, before what hashes them is compared."""
    pieces = (piece for file in container.files for piece in file.content)
    for name in (SALT, *(piece.name for piece in pieces if isinstance(piece, Secret))):
        secret_file(session.identity.secrets, name)


@dataclass(frozen=True, slots=True)
class _Executor:
    """One `apply` under way."""

    session: EngineSession
    options: Mapping[str, str]
    seen: EngineState  # before the first change
    foreseen: ChosenPorts
    chosen: ChosenPorts
    fetched: frozenset[str]  # containers whose images a plan could not know
    provided: dict[str, Provided] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)  # container -> id of its image, where one was built

    async def prepare(self, unit: Container, say: Say) -> tuple[Action, ...]:
        self._remark(unit, say)
        actions = reconcile(unit, self.seen, self.chosen, self.options, printed=self._printed(unit))
        early = [each for each in actions if is_early(each)]
        return tuple([each for each in early if await self._provided(unit, each, say)])

    async def _provided(self, unit: Container, action: Action, say: Say) -> bool:
        """Provide what comes before any copy; return False when another container had it provided just now."""
        what = f"{action.verb} {action.name}"
        async with self.session.locks.held(what):
            first = what not in self.provided
            if first:
                self.provided[what] = await provide(self.session, action, say)
            if self.provided[what].image:
                self.fresh[unit.name] = self.provided[what].image
            return first and self.provided[what].done

    async def reconcile(self, unit: Container) -> tuple[Action, ...]:
        """All is known now: what is still an `if` has not turned out true."""
        seen = await observe(self.session.engine, self.session.identity, owner=unit.name)
        fresh = self.fresh.get(unit.name, "")
        actions = reconcile(unit, seen, self.chosen, self.options, fresh, printed=self._printed(unit))
        return tuple(each for each in actions if not is_early(each) and not each.when)

    async def execute(self, unit: Container, action: Action, say: Say) -> None:
        del unit
        if isinstance(action.subject, str):
            await drop_image(self.session, action.subject)
        else:
            await execute(self.session, action, say)

    async def need(self, name: str, say: Say) -> bool:
        copies = await inspect(self.session.engine, self.session.identity, owner=name)
        await together(*(self._ready(each.id, say) for each in copies))
        return bool(copies)

    async def _ready(self, container: str, say: Say) -> None:
        await ready(self.session, container, say)

    def _printed(self, unit: Container) -> Printed:
        return Printed(unit.name in self.fetched, self.foreseen)

    def _remark(self, unit: Container, say: Say) -> None:
        """Tell people when the official image of a tag is not the one whose digest is pinned."""
        if not build_context(unit):
            image = parse(str(unit.image), f"image.{unit.name}")
            if found := find(image, self.seen.images or ()):
                remark_another(image, found, say)
