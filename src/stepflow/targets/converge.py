"""The one loop in which every target converges the observed on the desired state.

A unit is what is converged in one go: the copies of a workload, a server, what makes a database. Its turn comes once
what it needs is ready. Then it is observed and reconciled, under its lock, and the actions are executed: first all that
only add, at the same time, then the others one by one. Nothing is decided here, and nothing in a target's `execute`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Generic, Protocol, TypeVar

from stepflow.errors import PermanentError
from stepflow.targets.actions import ADDING, Action
from stepflow.targets.concurrency import together
from stepflow.targets.contract import Desired, Observed, Progress
from stepflow.workload import PRODUCTION

__all__ = [
    "Answer",
    "Executor",
    "Failure",
    "LateError",
    "Locks",
    "Say",
    "Unit",
    "converge",
    "pruned",
    "wait",
    "whole",
]

Say = Callable[[Progress], None]
_REMINDER = 3.0  # seconds after which an answer that stays the same is reported again


class Unit(Protocol):
    """What is converged in one go."""

    @property
    def name(self) -> str:
        """Its name, that of a workload or server."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the units that must be ready before it is touched."""


U = TypeVar("U", bound=Unit)
U_contra = TypeVar("U_contra", bound=Unit, contravariant=True)


class Executor(Protocol[U_contra]):
    """What a target brings to the loop."""

    async def prepare(self, unit: U_contra, say: Say) -> tuple[Action, ...]:
        """Create what can be created before its turn (an image, an environment); return the executed actions."""

    async def reconcile(self, unit: U_contra) -> tuple[Action, ...]:
        """Observe one unit and compare it with what is desired: the same pure comparison that a plan prints."""

    async def execute(self, unit: U_contra, action: Action, say: Say) -> None:
        """Execute one action, and wait until what it starts is ready."""

    async def need(self, name: str, say: Say) -> bool:
        """Wait until what another declaration created is ready; return False when it does not exist."""


@dataclass(frozen=True, slots=True)
class Locks:
    """One lock a name, for steps of one process that work on the same platform at the same time."""

    _locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[None]:
        """Hold the lock of a name."""
        async with self._locks[name]:
            yield


@dataclass(frozen=True, slots=True)
class _Loop(Generic[U]):
    executor: Executor[U]
    locks: Locks
    say: Say
    ready: dict[str, asyncio.Event]
    done: dict[str, tuple[Action, ...]] = field(default_factory=dict)

    async def one(self, unit: U) -> None:
        async with self.locks.held(unit.name):
            prepared = await self.executor.prepare(unit, self.say)
            await together(*(self._needed(unit, need) for need in unit.needs))
            actions = await self.executor.reconcile(unit)
            self.done[unit.name] = (*prepared, *actions)
            await together(*(self._do(unit, each) for each in actions if each.verb in ADDING))
            for each in actions:
                if each.verb not in ADDING:
                    await self._do(unit, each)
        self.ready[unit.name].set()

    async def _do(self, unit: U, action: Action) -> None:
        if action.verb != "keep":
            self.say(Progress(f"`{action.name}`", action.reason))
        await self.executor.execute(unit, action, self.say)

    async def _needed(self, unit: U, need: str) -> None:
        if need in self.ready:
            await self.ready[need].wait()
        elif not await self.executor.need(need, self.say):
            raise PermanentError(f"`{unit.name}` needs `{need}`, which does not exist")


async def converge(executor: Executor[U], units: Sequence[U], locks: Locks, say: Say) -> tuple[Action, ...]:
    """Converge all units, each once what it needs is ready; return the actions that were executed.

    Raises the first error as it is; what was under way elsewhere is cancelled, and the next call goes on from there.
    """
    loop = _Loop(executor, locks, say, {unit.name: asyncio.Event() for unit in units})
    await together(*(loop.one(unit) for unit in units))
    return tuple(action for unit in units for action in loop.done[unit.name])


@dataclass(frozen=True, slots=True)
class Answer:
    """The state of what is waited for, in words; `failed` when waiting cannot help."""

    ready: bool
    text: str
    failed: bool = False


class LateError(PermanentError):
    """Something runs, and is not ready in time."""


Failure = Callable[[str, type[PermanentError]], Awaitable[PermanentError]]
"""Returns the error for what is wrong, with the last lines of the log."""


async def wait(
    name: str,
    look: Callable[[], Awaitable[Answer]],
    *,
    deadline: float,
    step: float,
    say: Say,
    failure: Failure,
    late: str = "is not ready",
) -> None:
    """Probe every `step` seconds until it is ready, and report the last answer when it changes and now and then.

    Raises what `failure` returns: at once when it failed, a `LateError` after `deadline` seconds; `late` says what is
    the case then.
    """
    loop = asyncio.get_running_loop()
    began, said, when = loop.time(), "", -inf
    while not (answer := await look()).ready:
        if answer.failed:
            raise await failure(answer.text, PermanentError)
        if loop.time() - began > deadline:
            raise await failure(f"{late} after {deadline:g} s; the last answer: {answer.text or 'none'}", LateError)
        if answer.text != said or (said and loop.time() - when >= _REMINDER):
            said, when = answer.text, loop.time()
            say(Progress(f"`{name}`", said))
        await asyncio.sleep(step)


def whole(desired: Desired, snapshot: Mapping[str, Observed]) -> tuple[Action, ...]:
    """Reconcile for a target that creates a workload with all of its copies, or a server, in one go; pure."""
    kinds = dict.fromkeys(server.kind for server in desired.declaration.servers)
    servers = (_one(kind, snapshot.get(kind), "", 1) for kind in kinds)
    workloads = (
        _one(each.name, snapshot.get(each.name), desired.digests.get(each.name, ""), each.replicas)
        for each in desired.declaration.workloads
    )
    return (*servers, *workloads, *_production(desired, snapshot))


def pruned(causes: Mapping[str, str], snapshot: Collection[str]) -> tuple[Action, ...]:
    """Return the removals for a target that removes a workload with all of its copies, or a server, in one go; pure."""
    return tuple(Action("remove", name, cause, name) for name, cause in sorted(causes.items()) if name in snapshot)


def _one(name: str, there: Observed | None, digest: str, replicas: int) -> Action:
    if there is None:
        return Action("create", name, "it does not exist", name)
    if there.digest != digest and digest:
        return Action("replace", name, "what it is made from changed", name)
    if there.state in {"stopped", "failed"}:
        return Action("restart", name, there.detail or f"it is {there.state}", name)
    if there.replicas != replicas and there.kind == "workload":
        return Action("scale", name, f"it has {_copies(there.replicas)} instead of {replicas}", name)
    if there.state == "starting":
        return Action("wait", name, there.detail or "it is starting", name)
    return Action("keep", name, "unchanged and ready", name)


def _production(desired: Desired, observed: Mapping[str, Observed]) -> Iterator[Action]:
    if desired.declaration.production:
        yield _one(PRODUCTION, observed.get(PRODUCTION), desired.digests.get(PRODUCTION, ""), 1)


def _copies(count: int) -> str:
    return "1 copy" if count == 1 else f"{count} copies"
