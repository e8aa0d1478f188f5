"""Making a declaration true: servers first and together, then workloads as they need each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stepflow.errors import PermanentError
from stepflow.targets import Progress, Site
from stepflow.targets.local import environment, ports
from stepflow.targets.local.define import define, instance_name
from stepflow.targets.local.pair import alive
from stepflow.targets.local.platform import Platform
from stepflow.targets.local.servers import SERVERS, databases
from stepflow.targets.local.spec import Process
from stepflow.targets.local.wait import let_go, wait
from stepflow.targets.needs import require_no_ring
from stepflow.targets.ports import free
from stepflow.targets.references import neighbours, server_files
from stepflow.targets.secretfiles import require_given
from stepflow.targets.together import together
from stepflow.workload import Declaration, Workload

_VACATING = 3.0  # seconds that a port may need to become free after its process was killed


async def apply(
    site: Site,
    platform: Platform,
    declaration: Declaration,
    digests: Mapping[str, str],
    say: Callable[[Progress], None],
) -> None:
    """See `stepflow.targets.Target.apply`."""
    platform.layout.prepare()
    require_given(platform.layout.secrets, declaration.workloads)
    with platform.layout.locked("launch"):
        if not alive(platform.layout):
            ports.forget_taken(platform.layout)
    applying = _Applying(site, platform, digests, say)
    await applying.servers(declaration)
    await applying.workloads(declaration.workloads)


@dataclass(frozen=True, slots=True)
class _Applying:
    """One `apply` under way."""

    site: Site
    platform: Platform
    digests: Mapping[str, str]
    say: Callable[[Progress], None]
    ready: dict[str, asyncio.Event] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)  # workloads whose addresses this declaration holds

    async def servers(self, declaration: Declaration) -> None:
        """Have the servers run that are declared or referred to."""
        wanted = {(server.kind, server.database) for server in declaration.servers}
        wanted |= {(file.kind, file.database) for w in declaration.workloads for file in server_files(w)}
        kinds = sorted({kind for kind, _ in wanted})
        await together(*(self._server(kind) for kind in kinds))
        names = {database for kind, database in wanted if kind == "postgres" and database}
        if names:
            port = self.platform.wanted()["postgres"].ports["postgres"]
            await databases.create(self.platform.layout, port, names)

    async def _server(self, kind: str) -> None:
        module = SERVERS[kind]
        numbers = {name: self._port(f"{kind}/{name}") for name in module.PORTS}
        process = await asyncio.to_thread(module.define, self.platform.layout, numbers)
        await self._run(process)

    async def workloads(self, workloads: tuple[Workload, ...]) -> None:
        """Have the workloads run, each once what it needs is ready."""
        require_no_ring(workloads)
        for workload in workloads:
            self.ready[workload.name] = asyncio.Event()
            self.known.update(neighbours(workload))
            self._ports(workload, next(iter(self.platform.copies(workload.name)), 1))
        await together(*(self._after_needs(workload) for workload in workloads))

    async def _after_needs(self, workload: Workload) -> None:
        python = ""
        if workload.command[0] == "python":
            python = await environment.python(
                self.platform.layout, self.site.out, workload.context, lambda what: self.say(Progress(what))
            )
        for need in workload.needs:
            await self._needed(workload.name, need)
        await self._workload(workload, python)
        self.ready[workload.name].set()

    async def _needed(self, name: str, need: str) -> None:
        if need in self.ready:
            await self.ready[need].wait()
            return
        copies = self.platform.copies(need)
        if not copies:
            raise PermanentError(f"`{name}` needs `{need}`, which does not exist")
        for process in copies.values():
            await wait(self.platform, process, self.say)

    async def _workload(self, workload: Workload, python: str) -> None:
        """Bring the number of good copies to what is wanted, then let go of the others."""
        existing = self.platform.copies(workload.name)
        fresh = {number: self._define(workload, number, python) for number in existing}
        good = [number for number in existing if fresh[number].meaning == existing[number].meaning]
        kept, old = good[: workload.replicas], [number for number in existing if number not in good]
        await together(*(self._run(fresh[number]) for number in kept))
        in_place = self._stays(workload)
        for _ in range(workload.replicas - len(kept)):
            spare = old.pop(0) if old and in_place else None
            number = _free_number(self.platform.copies(workload.name)) if spare is None else spare
            await self._run(self._define(workload, number, python))
            if old and not in_place:
                await self._let_go(workload, [old.pop(0)])
        await self._let_go(workload, old + good[workload.replicas :])

    def _stays(self, workload: Workload) -> bool:
        """Tell whether it is replaced in place: its data is for one process, or its address is known to somebody."""
        known = {name for process in self.platform.wanted().values() for name in process.neighbours} | self.known
        return bool(workload.data) or workload.name in known or any(port.published for port in workload.ports)

    async def _let_go(self, workload: Workload, numbers: list[int]) -> None:
        copies = self.platform.copies(workload.name)
        if numbers:
            await let_go(self.platform, [copies[number] for number in numbers], self.say)

    def _define(self, workload: Workload, number: int, python: str) -> Process:
        wanted = self.platform.wanted().values()
        needed = (process.rank for process in wanted if process.owner in workload.needs)
        return define(
            self.site,
            self.platform.layout,
            workload,
            number,
            own=self._ports(workload, number),
            others=numbers(self.platform),
            digest=self.digests.get(workload.name, ""),
            rank=1 + max(needed, default=0),
            python=python,
        )

    def _ports(self, workload: Workload, number: int) -> dict[str, int]:
        name = instance_name(workload.name, number)
        return {
            port.name: self._port(f"{name}/{port.name}", port.number if port.published else None)
            for port in workload.ports
        }

    def _port(self, key: str, wish: int | None = None) -> int:
        number, remark = ports.choose(self.platform.layout, key, wish)
        if remark:
            self.say(Progress(remark, remark=True))
        return number

    async def _run(self, process: Process) -> None:
        """Have one process run, in place of its namesake, and wait until it is ready."""
        if not self.platform.runs(process.name):
            await self._vacant(process)
        process = self.platform.put(process)
        await asyncio.to_thread(self.platform.supervise)
        await wait(self.platform, process, self.say)

    async def _vacant(self, process: Process) -> None:
        """Wait a little for the ports of a process that does not run, then name who has them."""
        deadline = asyncio.get_running_loop().time() + _VACATING
        for number in process.ports.values():
            while not free(number):
                if self.platform.runs(process.name):
                    return
                if asyncio.get_running_loop().time() > deadline:
                    if process.name not in self.platform.wanted():
                        ports.yield_to(self.platform.layout, number, process.name)
                    ports.demand(number, process.name)
                await asyncio.sleep(0.05)


def numbers(platform: Platform) -> dict[str, Mapping[str, int]]:
    """Give the ports of each server and of the first copy of each workload."""
    kept: dict[str, dict[str, int]] = {}
    for key, number in ports.read(platform.layout).items():
        process, _, port = key.partition("/")
        kept.setdefault(process, {})[port] = number
    wanted = sorted(platform.wanted().values(), key=lambda process: process.name)
    first = {process.owner: process.ports for process in reversed(wanted)}
    expected = {name.removesuffix("-1"): found for name, found in kept.items() if name.endswith("-1")}
    return {**expected, **first}


def _free_number(taken: Mapping[int, object]) -> int:
    return next(number for number in range(1, len(taken) + 2) if number not in taken)
