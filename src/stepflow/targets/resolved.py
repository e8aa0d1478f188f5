"""What a declaration refers to, worked out once: references, ports, secrets and servers, for all that comes after.

A target reads these values and never looks through a workload's commands, variables and configurations again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile, Value
from stepflow.targets.addresses import Numbers
from stepflow.targets.contract import Desired
from stepflow.workload import HttpProbe, Production, Server, ServerKind, Workload

__all__ = [
    "Numbers",
    "Resolution",
    "Resolved",
    "ResolvedProduction",
    "backing_services",
    "resolution",
    "resolve",
]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A workload with all that it refers to; each list in the order of first mention, without repetition."""

    workload: Workload
    endpoints: tuple[Endpoint, ...] = ()
    secrets: tuple[SecretFile, ...] = ()
    server_files: tuple[ServerFile, ...] = ()
    configs: tuple[ConfigFile, ...] = ()
    data: tuple[str, ...] = ()  # names of its DataDirs, declared or referred to; sorted
    ports: Mapping[str, int] = field(default_factory=dict)  # its own, by name, as declared

    @property
    def name(self) -> str:
        """The workload's name."""
        return self.workload.name

    @property
    def program(self) -> str:
        """What it runs: `python`, or a server program."""
        return str(self.workload.command[0])

    @property
    def servers(self) -> tuple[ServerKind, ...]:
        """The kinds of servers that it refers to; sorted."""
        return tuple(sorted({each.kind for each in self.server_files}))

    @property
    def databases(self) -> tuple[str, ...]:
        """The databases that it refers to; sorted."""
        return tuple(sorted({each.database for each in self.server_files if each.database}))

    @property
    def neighbours(self) -> tuple[str, ...]:
        """The other workloads whose addresses it holds; sorted."""
        return tuple(sorted({each.workload for each in self.endpoints} - {self.name}))


@dataclass(frozen=True, slots=True)
class ResolvedProduction:
    """How the platform as a whole is run, with all of its workloads resolved."""

    declared: Production
    workloads: tuple[Resolved, ...]
    backing: tuple[Server, ...]  # as in `Resolution`


@dataclass(frozen=True, slots=True)
class Resolution:
    """A step's declaration, resolved."""

    workloads: tuple[Resolved, ...]
    backing: tuple[Server, ...]  # declared or referred to, each of PostgreSQL's databases by itself; sorted
    numbers: Numbers  # the ports of all workloads of the platform, as declared
    ranks: Mapping[str, int]  # of all workloads: 1, or one more than the highest of those that it needs
    digests: Mapping[str, str]
    production: ResolvedProduction | None = None

    @property
    def servers(self) -> tuple[ServerKind, ...]:
        """The kinds of backing services; sorted."""
        return tuple(dict.fromkeys(each.kind for each in self.backing))

    @property
    def databases(self) -> tuple[str, ...]:
        """The databases of PostgreSQL; sorted."""
        return tuple(each.database for each in self.backing if each.kind == "postgres" and each.database)


def resolve(workload: Workload) -> Resolved:
    """Find what a workload refers to.

    Raises `PermanentError` for a probe of a port, or a reference to a configuration, that it does not declare.
    """
    found = tuple(dict.fromkeys(_references(workload)))
    ports = {port.name: port.number for port in workload.ports}
    _require_ports(workload, ports)
    configs = tuple(each for each in found if isinstance(each, ConfigFile))
    for each in configs:
        if each.name not in workload.configs:
            raise PermanentError(f"workload `{workload.name}` has no config `{each.name}`")
    return Resolved(
        workload=workload,
        endpoints=tuple(each for each in found if isinstance(each, Endpoint)),
        secrets=tuple(each for each in found if isinstance(each, SecretFile)),
        server_files=tuple(each for each in found if isinstance(each, ServerFile)),
        configs=configs,
        data=tuple(sorted({*workload.data, *(each.name for each in found if isinstance(each, DataDir))})),
        ports=ports,
    )


def resolution(desired: Desired) -> Resolution:
    """Resolve what a step desires. Raises `PermanentError` as `resolve` does, and for a dependency cycle."""
    declaration = desired.declaration
    every = {each.name: each for each in (*desired.platform, *declaration.workloads)}
    workloads = tuple(resolve(each) for each in declaration.workloads)
    return Resolution(
        workloads=workloads,
        backing=backing_services(declaration.servers, workloads),
        numbers={name: {port.name: port.number for port in each.ports} for name, each in every.items()},
        ranks=_ranks(every.values()),
        digests=desired.digests,
        production=_production(declaration.production, workloads) if declaration.production else None,
    )


def backing_services(declared: Iterable[Server], workloads: Iterable[Resolved]) -> tuple[Server, ...]:
    """Return the backing services that are declared or that workloads refer to, each once, sorted."""
    pairs = {(each.kind, each.database) for each in declared}
    pairs |= {(file.kind, file.database) for each in workloads for file in each.server_files}
    return tuple(Server(*each) for each in sorted(pairs))


def _production(declared: Production, own: Iterable[Resolved]) -> ResolvedProduction:
    """Resolve the workloads of all steps; those of the step's `own` are resolved already."""
    known = {each.name: each for each in own}

    def resolved(workload: Workload) -> Resolved:
        mine = known.get(workload.name)
        return mine if mine and mine.workload == workload else resolve(workload)

    workloads = tuple(resolved(each) for each in declared.workloads)
    return ResolvedProduction(declared, workloads, backing_services(declared.servers, workloads))


def _references(workload: Workload) -> tuple[Value, ...]:
    """List everything that a workload refers to, in its commands, environment and configurations: the one scan."""

    def within(value: object) -> Iterator[Value]:
        if isinstance(value, Endpoint | ServerFile | SecretFile | DataDir | ConfigFile):
            yield value
        elif isinstance(value, Mapping):
            for inner in value.values():
                yield from within(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                yield from within(inner)

    return tuple(within([workload.command, workload.migrate, workload.env, workload.configs]))


def _ranks(workloads: Iterable[Workload]) -> dict[str, int]:
    needs = {each.name: each.needs for each in workloads}
    ranks: dict[str, int] = {}
    try:
        for name in TopologicalSorter(needs).static_order():
            ranks[name] = 1 + max((ranks.get(need, 0) for need in needs.get(name, ())), default=0)
    except CycleError as error:
        raise PermanentError(f"dependency cycle: {_said(error.args[1])}") from error
    return ranks


def _said(cycle: Sequence[str]) -> str:
    """Format a cycle from what needs to what it needs, beginning with the first name of the alphabet."""
    names = list(reversed(cycle[1:]))
    first = names.index(min(names))
    return " → ".join([*names[first:], *names[:first], names[first]])


def _require_ports(workload: Workload, ports: Mapping[str, int]) -> None:
    probes: tuple[HttpProbe | None, ...] = (workload.ready, workload.live)
    for probe in probes:
        if probe is not None and probe.port not in ports:
            raise PermanentError(
                f"a probe of `{workload.name}` uses port `{probe.port}`, which `{workload.name}` does not declare"
            )
