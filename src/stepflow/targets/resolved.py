"""What a workload refers to, worked out once: references, ports, secrets and servers, for all that comes after.

The engine and the targets read these values and never look through commands, variables and configurations again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile, Value
from stepflow.workload import HttpProbe, Server, ServerKind, Workload

__all__ = ["Resolved", "backing_services", "resolve"]


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


def backing_services(declared: Iterable[Server], workloads: Iterable[Resolved]) -> tuple[Server, ...]:
    """Return the backing services that are declared or that workloads refer to, each once, sorted."""
    pairs = {(each.kind, each.database) for each in declared}
    pairs |= {(file.kind, file.database) for each in workloads for file in each.server_files}
    return tuple(Server(*each) for each in sorted(pairs))


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


def _require_ports(workload: Workload, ports: Mapping[str, int]) -> None:
    probes: tuple[HttpProbe | None, ...] = (workload.ready, workload.live)
    for probe in probes:
        if probe is not None and probe.port not in ports:
            raise PermanentError(
                f"a probe of `{workload.name}` uses port `{probe.port}`, which `{workload.name}` does not declare"
            )
