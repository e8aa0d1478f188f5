"""A fourth target, complete: it runs nothing and keeps a ledger of what is to run, in one file of the state directory.

Nothing in stepflow knows it; its entry point is `ledger = "ledger:PROVIDER"` in the group `stepflow.targets`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from stepflow.errors import PermanentError, UsageError
from stepflow.handoff import Endpoint, SecretFile
from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired, Finding, Observed, Option, Progress, Provider, Site, Snapshot, discard
from stepflow.targets.converge import Locks, Say, converge, pruned, whole
from stepflow.targets.resolution import resolution
from stepflow.targets.secretfiles import secret_file
from stepflow.workload import Declaration, Instance, Workload


@dataclass(frozen=True)
class Entry:
    """A workload or server as a unit of the converging loop."""

    name: str
    needs: tuple[str, ...]
    desired: Desired
    workload: Workload | None = None


class Ledger:
    """The target, and the view that checks get of it."""

    name = "ledger"
    reconcile, removals = staticmethod(whole), staticmethod(pruned)

    def __init__(self, site: Site) -> None:
        self.site, self.target, self.out, self._locks = site, "ledger", site.out, Locks()
        self._folder = site.state / "ledger"

    async def observe(self) -> Snapshot:
        return Snapshot(self.read())

    async def require(self) -> None:
        """Need nothing."""

    async def apply(self, desired: Desired, progress: Say) -> tuple[Action, ...]:
        resolved = resolution(desired)
        servers = [Entry(kind, (), desired) for kind in resolved.servers]
        workloads = [Entry(each.name, each.workload.needs, desired, each.workload) for each in resolved.workloads]
        return await converge(Writer(self), [*servers, *workloads], self._locks, progress)

    async def remove(
        self, names: Collection[str] | None = None, *, data: bool = False, progress: Say = discard
    ) -> tuple[str, ...]:
        del progress
        there = self.read()
        gone = tuple(each.name for each in pruned(dict.fromkeys(there if names is None else names, ""), there))
        if gone:
            self.write({name: each for name, each in there.items() if name not in gone})
        for path in self._folder.glob("*") if data else ():
            path.unlink()
        return gone

    async def logs(self, name: str, *, follow: bool = False, tail: int = 100) -> AsyncIterator[str]:
        del follow
        if name not in self.read():
            raise UsageError(f"there is no log of `{name}`")
        if tail:
            yield f"{name} was written down for {self.site.options.get('ticket', 'everyone')}"

    def live(self) -> Ledger:
        return self

    def documents(self, declarations: Sequence[Declaration]) -> Mapping[str, bytes]:
        return {"LEDGER.txt": f"{sum(len(each.workloads) for each in declarations)} workloads\n".encode()}

    def url(self, endpoint: Endpoint) -> str:
        if endpoint.workload not in self.read():
            raise PermanentError(f"there is no workload `{endpoint.workload}`")
        ports = json.loads((self._folder / f"{endpoint.workload}.ports").read_text())
        return f"http://{endpoint.workload}.invalid:{ports[endpoint.port]}{endpoint.path}"

    def secret(self, secret: SecretFile) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        return secret_file(self._folder, secret.name).read_text()

    def instances(self, workload: str) -> tuple[Instance, ...]:
        seen = self.read().get(workload)
        return tuple(Instance(workload, name, seen.state, seen.url, name) for name in seen.handles) if seen else ()

    async def kill(self, instance: Instance) -> None:
        stopped = replace(self.read()[instance.workload], state="stopped", ready=0, handles=())
        self.write({**self.read(), instance.workload: stopped})

    def read(self) -> dict[str, Observed]:
        path = self._folder / "ledger.json"
        raw = json.loads(path.read_text()) if path.exists() else {}
        return {name: Observed(**{**each, "handles": tuple(each["handles"])}) for name, each in raw.items()}

    def write(self, things: Mapping[str, Observed], ports: Mapping[str, int] | None = None, name: str = "") -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if ports is not None:
            (self._folder / f"{name}.ports").write_text(json.dumps(ports))
        new = self._folder / "ledger.new"
        new.write_text(json.dumps({name: asdict(each) for name, each in things.items()}))
        new.replace(self._folder / "ledger.json")


@dataclass(frozen=True)
class Writer:
    """What the target brings to the converging loop."""

    ledger: Ledger

    async def prepare(self, *_: object) -> tuple[Action, ...]:
        return ()

    async def reconcile(self, unit: Entry) -> tuple[Action, ...]:
        return tuple(each for each in whole(unit.desired, self.ledger.read()) if each.owner == unit.name)

    async def execute(self, unit: Entry, action: Action, say: Say) -> None:
        if action.verb == "keep":
            return
        say(Progress(f"`{action.name}` to be written down"))
        copies = unit.workload.replicas if unit.workload else 1
        ports = {port.name: port.number for port in unit.workload.ports} if unit.workload else {}
        url = f"http://{unit.name}.invalid:{next(iter(ports.values()))}" if ports else ""
        handles = tuple(f"{unit.name}-{number}" for number in range(1, copies + 1))
        digest = unit.desired.digests.get(unit.name, "")
        kind = "workload" if unit.workload else "server"
        made = Observed(unit.name, kind, "ready", digest, copies, copies, url, handles)
        self.ledger.write({**self.ledger.read(), unit.name: made}, ports, unit.name)

    async def need(self, name: str, _: Say) -> bool:
        return name in self.ledger.read()


PROVIDER = Provider(
    "ledger",
    Ledger,
    lambda options: (Finding("ledger", ok=True, detail=f"writes for {options.get('ticket', 'everyone')}"),),
    options=(Option("ticket", "ID", "The ticket that asks for the change.", doctor=True),),
    handles="entries",
    keeps="its ledger",
)
