"""A target that keeps everything in memory: what is applied is ready at once, unless it is set to fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stepflow.errors import MachineError, PermanentError, StepflowError, UsageError
from stepflow.handoff import Endpoint, Handoff, SecretFile
from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired, Observed, Progress, Snapshot, discard
from stepflow.targets.converge import pruned, whole
from stepflow.targets.resolution import resolution
from stepflow.workload import Declaration, Instance, Live, Workload

_HOST = "fake.invalid"


@dataclass
class FakeTarget:
    """Implements `stepflow.targets.contract.Target`. `applied` counts how often each thing was created."""

    out: Path = Path()
    name: str = "fake"
    applied: dict[str, int] = field(default_factory=dict)
    observed: dict[str, Observed] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)  # which of several places `observe` tells that it looked at
    workloads: dict[str, Workload] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    lacking: MachineError | None = None
    describe: Callable[[Sequence[Declaration]], Mapping[str, bytes]] = lambda _: {}  # what `documents` returns
    _failures: dict[str, list[StepflowError]] = field(default_factory=dict)

    def fail(self, name: str, *errors: StepflowError) -> None:
        """Make the next attempts to create a workload or server fail, one with each of the errors."""
        self._failures.setdefault(name, []).extend(errors or (PermanentError(f"`{name}` was told to fail"),))

    def lose(self, name: str) -> None:
        """Stop something that was applied, as if its process had died."""
        was = self.observed[name]
        self.observed[name] = Observed(name, was.kind, "stopped", was.digest, was.replicas, 0, was.url, ())

    async def observe(self) -> Snapshot:
        """Return what was applied."""
        return Snapshot(self.observed, where=self.where)

    def reconcile(self, desired: Desired, snapshot: Snapshot) -> tuple[Action, ...]:
        """Compare workload by workload."""
        return whole(desired, snapshot)

    def removals(self, causes: Mapping[str, str], snapshot: Snapshot) -> tuple[Action, ...]:
        """Remove workload by workload."""
        return pruned(causes, snapshot)

    async def require(self) -> None:
        """Raise what `lacking` holds."""
        if self.lacking:
            raise self.lacking

    async def apply(self, desired: Desired, progress: Callable[[Progress], None]) -> tuple[Action, ...]:
        """Apply what is desired: servers first, then workloads in the order of their needs."""
        workloads = {each.name: each for each in desired.declaration.workloads}
        order = resolution(desired).ranks
        actions = self.reconcile(desired, await self.observe())
        for action in sorted(actions, key=lambda each: order.get(each.owner, 0)):
            self._execute(action, workloads.get(action.owner), desired.digests, progress)
        return actions

    async def remove(
        self,
        names: Collection[str] | None = None,
        *,
        data: bool = False,
        progress: Callable[[Progress], None] = discard,
    ) -> tuple[str, ...]:
        """Forget the named workloads, or (None) everything."""
        del data, progress
        chosen = self.observed if names is None else names
        gone = tuple(each.name for each in pruned(dict.fromkeys(chosen, ""), self.observed))
        for name in gone:
            del self.observed[name]
            self.workloads.pop(name, None)
        return gone

    async def logs(self, name: str, *, follow: bool = False, tail: int = 100) -> AsyncIterator[str]:
        """Yield the lines that were put into `lines`. Raises `UsageError` for what never existed."""
        del follow
        if name not in self.lines and name not in self.observed:
            raise UsageError(f"there is no log of `{name}`")
        for line in self.lines.get(name, [])[-tail:] if tail else ():
            yield line

    def live(self) -> Live:
        """Return the view that checks work with."""
        return FakeLive(self, self.name, self.out)

    def documents(self, declarations: Sequence[Declaration]) -> Mapping[str, bytes]:
        """Return what `describe` returns."""
        return self.describe(declarations)

    def _execute(
        self,
        action: Action,
        workload: Workload | None,
        digests: Mapping[str, str],
        progress: Callable[[Progress], None],
    ) -> None:
        if workload:
            self.workloads[workload.name] = workload
        if action.verb == "keep":
            return
        progress(Progress(f"`{action.name}` to be ready", str(action)))
        failures = self._failures.get(action.name)
        if failures and action.verb != "scale":
            raise failures.pop(0)
        if action.verb != "scale":
            self.applied[action.name] = self.applied.get(action.name, 0) + 1
            self.lines.setdefault(action.name, []).append(f"{action.name} is ready")
        self.observed[action.name] = _ready(action.name, workload, digests.get(action.name, ""))


def _ready(name: str, workload: Workload | None, digest: str) -> Observed:
    copies = workload.replicas if workload else 1
    handles = tuple(f"{name}-{number}" for number in range(1, copies + 1))
    url = f"http://{name}.{_HOST}:{workload.ports[0].number}" if workload and workload.ports else ""
    return Observed(name, "workload" if workload else "server", "ready", digest, copies, copies, url, handles)


@dataclass
class FakeLive:
    """Implements `stepflow.workload.CheckContext` on a `FakeTarget`: no URL answers, a secret is its name."""

    made_by: FakeTarget
    target: str
    out: Path
    handoffs: tuple[Handoff, ...] = ()

    def url(self, endpoint: Endpoint) -> str:
        """Resolve a reference; raises `PermanentError` for a workload or port that was not applied."""
        workload = self.made_by.workloads.get(endpoint.workload)
        port = next((port for port in workload.ports if port.name == endpoint.port), None) if workload else None
        if port is None:
            raise PermanentError(f"there is no port `{endpoint.port}` of a workload `{endpoint.workload}`")
        return f"http://{endpoint.workload}.{_HOST}:{port.number}{endpoint.path}"

    def secret(self, secret: SecretFile) -> str:
        """Return a text made of the secret's name."""
        return f"secret-of-{secret.name}"

    def instances(self, workload: str) -> tuple[Instance, ...]:
        """List the running copies of a workload."""
        seen = self.made_by.observed.get(workload)
        return tuple(Instance(workload, name, seen.state, seen.url, name) for name in seen.handles) if seen else ()

    async def kill(self, instance: Instance) -> None:
        """Stop the workload that the copy belongs to."""
        self.made_by.lose(instance.workload)
