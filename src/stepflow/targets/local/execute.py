"""Executes actions on this machine, each as it was reconciled; decides nothing."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from stepflow.errors import PermanentError
from stepflow.targets.actions import Action
from stepflow.targets.contract import Progress, Site
from stepflow.targets.converge import Answer, Say, wait
from stepflow.targets.local import databases, environment, ports
from stepflow.targets.local.desired import Definition, Unit, define, instance_name
from stepflow.targets.local.logs import tail
from stepflow.targets.local.observed import local_state
from stepflow.targets.local.reconcile import Where, own_ports, reconcile, server_definition
from stepflow.targets.local.spec import Process
from stepflow.targets.local.store import Store
from stepflow.targets.ports import by, free
from stepflow.targets.secretfiles import secret_file, secret_text
from stepflow.targets.wholefile import write_whole

STEP = 0.05  # seconds between two observations
LINES = 15  # of the log that an error shows
MARGIN = 10.0  # seconds beyond a process's own grace
_VACATING = 3.0  # seconds that a port may need to become free after its process was killed


@dataclass(frozen=True, slots=True)
class Executor:
    """One `apply` under way; see `stepflow.targets.converge.Executor`."""

    site: Site
    store: Store
    known: frozenset[str]  # workloads whose addresses this declaration holds
    declared: frozenset[str]  # all workloads of the platform
    pythons: dict[str, str] = field(default_factory=dict)  # context -> interpreter

    async def prepare(self, unit: Unit, say: Say) -> tuple[Action, ...]:
        """Ensure the Python environment of a workload, where its dependencies need one."""
        if unit.resolved is None or unit.resolved.program != "python":
            return ()
        context = unit.resolved.workload.context
        chosen = environment.choose(self.store.layout, environment.texts(self.site.out, context))
        done = (environment.action(unit.name, chosen),) if chosen.missing else ()
        self.pythons[context] = await environment.make(self.store.layout, chosen, lambda what: say(Progress(what)))
        return done

    async def reconcile(self, unit: Unit) -> tuple[Action, ...]:
        """Observe and compare one unit."""
        return reconcile(unit, local_state(self.store), self._where())

    async def execute(self, unit: Unit, action: Action, say: Say) -> None:
        """Execute one action, and wait until what it starts is ready."""
        if unit.kind == "database":
            if action.verb != "keep":
                port = self.store.desired()["postgres"].ports["postgres"]
                await databases.ensure(self.store.layout, port, unit.database)
            return
        match action.verb:
            case "replace" if unit.kind == "server":  # what it is prepared with may need a server that is stopped
                await let_go(self.store, [self.store.desired()[action.name]], say)
                await self._run(await asyncio.to_thread(self._definition, unit, action, say), say)
            case "create" | "replace":
                await self._run(await asyncio.to_thread(self._definition, unit, action, say), say)
                if action.old:
                    await let_go(self.store, [self.store.desired()[action.old]], say)
            case "restart":
                await self._again(self.store.desired()[action.name], say)
            case "wait":
                await self._ready(self.store.desired()[action.name], say)
            case "remove":
                await let_go(self.store, [self.store.desired()[action.name]], say)
            case _:
                pass

    async def need(self, name: str, say: Say) -> bool:
        """Wait for what another declaration created."""
        mine = [process for process in self.store.desired().values() if process.owner == name]
        for process in mine:
            await self._ready(process, say)
        return bool(mine)

    def _where(self) -> Where:
        held = {name for process in self.store.desired().values() for name in process.neighbours}
        return Where(self.site, self.store.layout, self.known | held, self.declared, self.pythons)

    def _definition(self, unit: Unit, action: Action, say: Say) -> Definition:
        """Define a copy or a server, and write the files that it needs."""
        layout = self.store.layout
        if unit.kind == "server":
            for name in server_definition(unit.name, local_state(self.store), layout).secrets:
                secret_file(layout.secrets, name)
            definition = server_definition(unit.name, local_state(self.store), layout)
        else:
            assert unit.resolved is not None
            choose_ports(self.store, unit, action.subject, say)
            for each in unit.resolved.secrets:
                secret_file(layout.secrets, each.name)
            now = local_state(self.store)
            python = self.pythons.get(unit.resolved.workload.context, "")
            own = own_ports(unit, action.subject, now)
            definition = define(self.site, layout, unit, action.subject, own=own, now=now, python=python)
        _lay(self.store, definition)
        return definition

    async def _run(self, definition: Definition, say: Say) -> None:
        """Run one process in place of its namesake, and wait until it is ready."""
        if not self.store.runs(definition.process.name):
            await self._vacant(definition.process)
        await self._again(definition.process, say)

    async def _again(self, process: Process, say: Say) -> None:
        await self._ready(self.store.put(process), say)

    async def _ready(self, process: Process, say: Say) -> None:
        async def look_at() -> Answer:
            await asyncio.to_thread(self.store.supervise)
            status = self.store.status(process)
            return Answer(status.state == "ready", status.detail, failed=status.state == "failed")

        async def failure(what: str, kind: type[PermanentError]) -> PermanentError:
            return self._failure(process, what, kind)

        await wait(process.name, look_at, deadline=process.ready.deadline, step=STEP, say=say, failure=failure)

    def _failure(self, process: Process, what: str, kind: type[PermanentError]) -> PermanentError:
        status = self.store.status(process)
        lines = [f"`{process.name}` {what}"]
        taken = [] if status.pid else [number for number in process.ports.values() if not free(number)]
        lines += [f"port {number} is taken{by(number)}" for number in taken]
        written = tail(self.store.layout.log(process.name), LINES, status.offset)
        if written:
            lines += ["the last lines of its log:", *(f"  {line}" for line in written)]
        hint = ports.TAKEN if taken else _hint(process, what, log=bool(written))
        return kind("\n".join(lines), log=process.log, hint=hint)

    async def _vacant(self, process: Process) -> None:
        """Wait shortly for the ports of a process that is not running, then name the process that has them."""
        deadline = asyncio.get_running_loop().time() + _VACATING
        for number in process.ports.values():
            while not free(number):
                if self.store.runs(process.name):
                    return
                if asyncio.get_running_loop().time() > deadline:
                    if process.name not in self.store.desired():
                        ports.yield_to(self.store.layout, number, process.name)
                    ports.demand(number, process.name)
                await asyncio.sleep(STEP)


def choose_first_ports(store: Store, units: Sequence[Unit], say: Say) -> None:
    """Choose the ports of servers and of each workload's first copy before defining what refers to them."""
    now = local_state(store)
    for unit in units:
        if unit.kind != "database":
            choose_ports(store, unit, next(iter(now.copies(unit.name)), 1) if unit.resolved else 0, say)


def choose_ports(store: Store, unit: Unit, number: int, say: Say) -> None:
    """Choose the ports of a server, or of one copy of a workload; report what people should know of them."""
    from stepflow.targets.local.servers import SERVERS  # noqa: PLC0415 - it imports what is defined here

    if unit.resolved is None:
        wishes: Mapping[str, int | None] = dict.fromkeys(SERVERS[unit.name].ports)
        name = unit.name
    else:
        declared = unit.resolved.workload.ports
        wishes = {port.name: port.number if port.published else None for port in declared}
        name = instance_name(unit.name, number)
    there = store.desired().get(name) if store.runs(name) else None
    for port, wish in wishes.items():
        had = there.ports.get(port) if there else None
        chosen = ports.choose(store.layout, f"{name}/{port}", wish, had=had)
        if chosen.remark:
            say(Progress(chosen.remark, remark=True))


def _lay(store: Store, definition: Definition) -> None:
    """Write what a process needs on disk before it starts."""
    layout, process = store.layout, definition.process
    for folder in definition.folders:
        folder.mkdir(exist_ok=True, mode=0o700)
    for name, url in definition.urls.items():
        write_whole(layout.secrets / name, f"{url.before}{secret_text(layout.secrets, url.secret)}{url.after}")
    configs = layout.configs / process.name
    if definition.files:
        configs.mkdir(exist_ok=True, mode=0o700)
    for name, text in definition.files.items():
        write_whole(configs / name, text)
    if definition.prepare:
        definition.prepare()


async def let_go(store: Store, processes: Collection[Process], say: Say) -> None:
    """Stop processes and wait until they are gone. Raises `PermanentError` when they are not."""
    names = {process.name for process in processes}
    store.drop(names)
    loop = asyncio.get_running_loop()
    deadline, said = loop.time() + longest_stop(processes), ""
    while left := sorted(names & store.observed().processes.keys()):
        if loop.time() > deadline:
            raise PermanentError(f"still not stopped: {', '.join(left)}")
        if left[0] != said:
            said = left[0]
            say(Progress(f"`{said}` to stop"))
        await asyncio.to_thread(store.supervise)
        await asyncio.sleep(STEP)
    for name in names:
        shutil.rmtree(store.layout.configs / name, ignore_errors=True)


def longest_stop(processes: Collection[Process]) -> float:
    """Return the seconds that stopping these may take: rank by rank, draining and then ending within the grace."""
    graces: dict[int, float] = {}
    for process in processes:
        graces[process.rank] = max(graces.get(process.rank, 0.0), process.grace)
    return 2 * sum(graces.values()) + MARGIN


def _hint(process: Process, what: str, *, log: bool) -> str:
    said = [f"`stepflow logs {process.owner}` shows all of it"] if log else []
    if signal.SIGKILL.name in what:
        said.insert(0, "it was killed from outside, by another process or by the kernel for lack of memory")
    return "; ".join(said) or "it wrote nothing to its log"
