"""An open target as the engine and the commands call it: its faults are blamed on the package that brings it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stepflow.blame import blaming, every, expect, files, words
from stepflow.errors import TemporaryError
from stepflow.targets.actions import Action
from stepflow.targets.contract import Asking, Desired, Inward, Naming, Observed, Progress, Snapshot, Target, discard

if TYPE_CHECKING:  # the local target's supervisor imports this package and must not load pydantic
    from stepflow.handoff import Endpoint, SecretFile
    from stepflow.workload import Declaration, Instance, Live

_TARGET = ("observe", "require", "reconcile", "removals", "apply", "remove", "logs", "live", "documents")
_LIVE = ("target", "out", "url", "secret", "instances", "kill")


class Attended:
    """Implements `Target`, and `Naming`, `Asking` and `Inward` where the target does: passes each call on, and lets
    pass only the errors and the types of the contract.
    """

    def __init__(self, name: str, target: Target) -> None:
        """Attend to what the provider of this name opened. Raises `TypeError` for what is not a target."""
        _require_members(target, _TARGET, "open()")
        self.name, self._target = name, target
        if isinstance(target, Naming):
            self.require_named = self._require_named
        if isinstance(target, Asking):
            self.require_given = self._require_given
        if isinstance(target, Inward):
            self.reach = self._reach

    async def observe(self) -> Snapshot:
        """Observe everything of this platform."""
        with self._blaming("observe"):
            seen = expect(await self._target.observe(), Snapshot, "observe()")
            every(seen.values(), Observed, "observe().values()")
            return seen

    async def require(self) -> None:
        """Raise `MachineError` if something is missing that every `apply` needs."""
        with self._blaming("require"):
            await self._target.require()

    def reconcile(self, desired: Desired, snapshot: Snapshot) -> tuple[Action, ...]:
        """Return the actions that turn what was observed into what is desired."""
        with self._blaming("reconcile"):
            return every(self._target.reconcile(desired, snapshot), Action, "reconcile()")

    def removals(self, causes: Mapping[str, str], snapshot: Snapshot) -> tuple[Action, ...]:
        """Return the actions that remove what is not desired any more."""
        with self._blaming("removals"):
            return every(self._target.removals(causes, snapshot), Action, "removals()")

    async def apply(self, desired: Desired, progress: Callable[[Progress], None]) -> tuple[Action, ...]:
        """Create what is desired and wait until all of it is ready; return what was done."""
        with self._blaming("apply"):
            return every(await self._target.apply(desired, progress), Action, "apply()")

    async def remove(
        self,
        names: Collection[str] | None = None,
        *,
        data: bool = False,
        progress: Callable[[Progress], None] = discard,
    ) -> tuple[str, ...]:
        """Stop and remove; return what was removed."""
        with self._blaming("remove"):
            return every(await self._target.remove(names, data=data, progress=progress), str, "remove()")

    async def logs(self, name: str, *, follow: bool = False, tail: int = 100) -> AsyncIterator[str]:
        """Yield the lines of a log."""
        with self._blaming("logs"):
            lines = aiter(self._target.logs(name, follow=follow, tail=tail))
        async with AsyncExitStack() as stack:
            if close := getattr(lines, "aclose", None):
                stack.push_async_callback(close)
            while True:
                with self._blaming("logs"):
                    try:
                        line = expect(await anext(lines), str, "logs()")
                    except StopAsyncIteration:
                        return
                yield line

    def live(self) -> Live:
        """Return the view that checks work with."""
        with self._blaming("live"):
            return AttendedLive(self.name, self._target.live())

    def documents(self, declarations: Sequence[Declaration]) -> Mapping[str, bytes]:
        """Return files for the rendered tree that describe the whole platform."""
        with self._blaming("documents"):
            return files(self._target.documents(declarations), "documents()")

    def _require_named(self, declarations: Sequence[Declaration]) -> None:
        assert isinstance(self._target, Naming)
        with self._blaming("require_named"):
            self._target.require_named(declarations)

    def _require_given(self, desired: Desired, snapshot: Snapshot) -> None:
        assert isinstance(self._target, Asking)
        with self._blaming("require_given"):
            self._target.require_given(desired, snapshot)

    @asynccontextmanager
    async def _reach(self, wish: int | None = None) -> AsyncIterator[str]:
        assert isinstance(self._target, Inward)
        async with AsyncExitStack() as stack:
            with self._blaming("reach"):
                url = expect(await stack.enter_async_context(self._target.reach(wish)), str, "reach()")
            yield url

    def _blaming(self, method: str) -> AbstractContextManager[None]:
        return blaming("target", self.name, f"in `{method}`")


class AttendedLive:
    """Implements `stepflow.workload.Live` likewise; a network error is one that a check may retry."""

    def __init__(self, name: str, live: Live) -> None:
        """Attend to what the target of this name returned. Raises `TypeError` for what is not a `Live`."""
        _require_members(live, _LIVE, "live()")
        self._name, self._live = name, live
        self.target: str = live.target
        self.out: Path = live.out

    def url(self, endpoint: Endpoint) -> str:
        """Resolve a reference."""
        with self._blaming("url"):
            return expect(self._live.url(endpoint), str, "live().url()")

    def secret(self, secret: SecretFile) -> str:
        """Read a secret's text."""
        with self._blaming("secret"):
            return expect(self._live.secret(secret), str, "live().secret()")

    def instances(self, workload: str) -> tuple[Instance, ...]:
        """List the running copies of a workload."""
        from stepflow.workload import Instance  # noqa: PLC0415 - as above

        with self._blaming("instances"):
            return every(self._live.instances(workload), Instance, "live().instances()")

    async def kill(self, instance: Instance) -> None:
        """Kill one copy."""
        with self._blaming("kill"):
            await self._live.kill(instance)

    @contextmanager
    def _blaming(self, method: str) -> Iterator[None]:
        with blaming("target", self._name, f"in `live().{method}`"):
            try:
                yield
            except (ConnectionError, TimeoutError) as error:
                raise TemporaryError(str(error) or words(error)) from error


def _require_members(value: object, names: Iterable[str], what: str) -> None:
    if lacking := [f"`{name}`" for name in names if not hasattr(value, name)]:
        kind = "None" if value is None else f"a `{type(value).__name__}`"
        raise TypeError(f"`{what}` returned {kind}, which lacks {' and '.join(lacking)}")
