"""A step's declaration, resolved: its workloads, its backing services, and the ports of the whole platform."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from stepflow.errors import PermanentError
from stepflow.targets.addresses import Numbers
from stepflow.targets.contract import Desired
from stepflow.targets.resolved import Resolved, backing_services, resolve
from stepflow.workload import Production, Server, ServerKind, Workload

__all__ = ["Numbers", "Resolution", "ResolvedProduction", "resolution"]


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


def resolution(desired: Desired) -> Resolution:
    """Return what a step desires, resolved. Only workloads that did not come resolved are scanned here.

    Raises `PermanentError` as `resolve` does, and for a dependency cycle.
    """
    declaration = desired.declaration
    every = {each.name: each for each in (*desired.platform, *declaration.workloads)}
    known = {each.name: each for each in desired.resolved}
    workloads = _resolved(declaration.workloads, known)
    production = declaration.production
    return Resolution(
        workloads=workloads,
        backing=backing_services(declaration.servers, workloads),
        numbers={name: {port.name: port.number for port in each.ports} for name, each in every.items()},
        ranks=_ranks(every.values()),
        digests=desired.digests,
        production=_production(production, known | {each.name: each for each in workloads}) if production else None,
    )


def _resolved(workloads: Iterable[Workload], known: Mapping[str, Resolved]) -> tuple[Resolved, ...]:
    pairs = ((each, known.get(each.name)) for each in workloads)
    return tuple(there if there and there.workload == each else resolve(each) for each, there in pairs)


def _production(declared: Production, known: Mapping[str, Resolved]) -> ResolvedProduction:
    workloads = _resolved(declared.workloads, known)
    return ResolvedProduction(declared, workloads, backing_services(declared.servers, workloads))


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
