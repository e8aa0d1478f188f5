"""Executes actions on this machine, each as it was reconciled; decides nothing."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stepflow.errors import PermanentError
from stepflow.targets.actions import Action
from stepflow.targets.contract import Progress, Site
from stepflow.targets.converge import Answer, Locks, Say, wait
from stepflow.targets.local import databases, environment, ports
from stepflow.targets.local.desired import Definition, Unit, define, instance_name
from stepflow.targets.local.logs import tail
from stepflow.targets.local.observed import LocalState, local_state
from stepflow.targets.local.programs import program
from stepflow.targets.local.reconcile import Where, own_ports, reconcile, server_definition
from stepflow.targets.local.servers import SERVERS
from stepflow.targets.local.spec import Process
from stepflow.targets.local.store import Store
from stepflow.targets.ports import by, free
from stepflow.targets.resolution import Numbers
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
    locks: Locks
    known: frozenset[str]  # workloads whose addresses this declaration holds
    declared: Numbers  # the ports of all workloads of the platform, as declared
    pythons: dict[str, environment.Choice] = field(default_factory=dict)  # context -> which Python

    async def prepare(self, unit: Unit, say: Say) -> tuple[Action, ...]:
        """Make the Python environment of a workload that is missing, where something is to start in it."""
        if not unit.python:
            return ()
        layout, now = self.store.layout, local_state(self.store)
        chosen = environment.choose(layout, environment.texts(self.site.out, unit.context), now.environments)
        self.pythons[unit.context] = chosen
        done = environment.build(unit.name, chosen, reconcile(unit, now, self._where()))
        if done:
            await self._python(unit, say)
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
        if action.verb in {"create", "replace"} and unit.python:  # what it starts in may have vanished since
            await self._python(unit, say)
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
        return Where(self.site, self.store.layout, self.known | held, self.declared)

    async def _python(self, unit: Unit, say: Say) -> str:
        chosen = self.pythons[unit.context]
        async with self.locks.held(f"environment {chosen.program}"):  # workloads that lack the same share one
            return await environment.make(self.store.layout, chosen, lambda what: say(Progress(what)))

    def _state(self, unit: Unit) -> LocalState:
        """Return the state, and the program of this unit in it. Raises `MachineError` for one that is missing."""
        now, name = local_state(self.store), unit.resolved.program if unit.resolved else unit.name
        found = program(name)
        if unit.python:
            found = replace(found, path=self.pythons[unit.context].program)
        return replace(now, programs={**now.programs, name: found})

    def _definition(self, unit: Unit, action: Action, say: Say) -> Definition:
        """Define a copy or a server, and write the files that it needs."""
        layout = self.store.layout
        if unit.kind == "server":
            for name in server_definition(unit.name, self._state(unit), layout).secrets:
                secret_file(layout.secrets, name)
            definition = server_definition(unit.name, self._state(unit), layout)
        else:
            assert unit.resolved is not None
            choose_ports(self.store, unit, action.subject, say)
            for each in unit.resolved.secrets:
                secret_file(layout.secrets, each.name)
            now = self._state(unit)
            own = own_ports(unit, action.subject, now)
            definition = define(self.site, layout, unit, action.subject, own=own, now=now)
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
    if not Path(process.cwd).is_dir():
        problem = f"the rendered folder `{process.cwd}` of `{process.owner}` does not exist"
        raise PermanentError(problem, hint="`stepflow run`")
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
