"""From a declaration to what is to be in the cluster, in units that are made and waited for by themselves. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from stepflow.targets.addresses import Numbers
from stepflow.targets.kubernetes.compare import annotated, marked
from stepflow.targets.kubernetes.kinds import Object
from stepflow.targets.kubernetes.manifests.foundation import foundation
from stepflow.targets.kubernetes.manifests.jobs import database_objects, migration_objects
from stepflow.targets.kubernetes.manifests.model import Platform
from stepflow.targets.kubernetes.manifests.names import DIGEST
from stepflow.targets.kubernetes.manifests.production import production_objects
from stepflow.targets.kubernetes.manifests.secrets import required_secrets
from stepflow.targets.kubernetes.manifests.servers import needed, server_objects
from stepflow.targets.kubernetes.manifests.workloads import workload_objects
from stepflow.targets.kubernetes.sight import owner_of
from stepflow.workload import PRODUCTION, Declaration, Production, ServerKind, Workload

SERVER_START = 180.0  # seconds that a server may take from the start of its container: it may have a log to replay


class Least(NamedTuple):
    """A Deployment that shall have so many copies at least, each of which may take `deadline` seconds to start."""

    name: str
    copies: int
    deadline: float


@dataclass(frozen=True, slots=True)
class Unit:
    """One owner's objects; the last one is what runs, or says how the rest is to run."""

    name: str
    kind: Literal["server", "database", "workload", "policy"]
    objects: tuple[Object, ...]
    needs: tuple[str, ...] = ()  # owners that must be ready before the last object is made
    first: tuple[Object, ...] = ()  # a Job, with what it needs, that must succeed before that
    deadline: float = SERVER_START  # seconds that a start may take
    least: tuple[Least, ...] = ()  # what is to have more copies by then

    @property
    def main(self) -> Object:
        """The last object."""
        return self.objects[-1]


def units(platform: Platform, declaration: Declaration, digests: Mapping[str, str]) -> tuple[Unit, ...]:
    """Give the units of a declaration: the servers that are declared or referred to, what makes their databases, the
    workloads, how all is run.

    Raises `PermanentError` for what a workload refers to and is not there.
    """
    wanted = needed(platform, declaration)
    servers = {kind: _server(platform, kind) for kind in dict.fromkeys(each.kind for each in wanted)}
    databases = {each.database: _database(platform, each.database) for each in wanted if each.database}
    there = [*servers.values(), *databases.values()]
    for each in declaration.workloads:
        mine = needed(platform, Declaration((each,)))
        before = [servers[server.kind] for server in mine]
        before += [databases[server.database] for server in mine if server.database]
        needs = (*dict.fromkeys(unit.name for unit in before), *each.needs)
        there.append(_workload(platform, each, digests.get(each.name, ""), needs))
    if declaration.production:
        there.append(_production(platform, declaration.production, digests.get(PRODUCTION, "")))
    return tuple(there)


def everything(platform: Platform, declaration: Declaration, digests: Mapping[str, str]) -> tuple[Object, ...]:
    """Give all objects of a declaration but Secrets, in the order in which they are applied."""
    found = units(platform, declaration, digests)
    return (*foundation(platform), *(each for unit in found for each in (*unit.objects[:-1], *unit.first, unit.main)))


def numbers(workloads: Sequence[Workload]) -> Numbers:
    """Give the ports of workloads."""
    return {each.name: {port.name: port.number for port in each.ports} for each in workloads}


def _server(platform: Platform, kind: ServerKind) -> Unit:
    objects = server_objects(platform, kind)
    return Unit(owner_of(objects[-1]), "server", marked(objects, sorted(_mounted(objects[-1]))))


def _database(platform: Platform, name: str) -> Unit:
    objects = database_objects(platform, name)
    return Unit(owner_of(objects[-1]), "database", tuple(objects), ("postgres",))


def _workload(platform: Platform, workload: Workload, digest: str, needs: Sequence[str]) -> Unit:
    objects = workload_objects(platform, workload, digest)
    first = migration_objects(platform, workload)
    secrets = {f"Secret/{each.secret}" for each in required_secrets(platform, Declaration((workload,)))}
    deadline = workload.ready.deadline
    also = sorted(secrets & _mounted(objects[-1]))
    return Unit(workload.name, "workload", marked(objects, also), tuple(needs), tuple(first), deadline)


def _production(platform: Platform, production: Production, digest: str) -> Unit:
    objects = marked(_told(production_objects(platform, production), digest))  # first: it refuses what cannot scale
    deadlines = {each.name: each.ready.deadline for each in production.workloads}
    least = tuple(Least(name, production.at_least, deadlines[name]) for name in production.scaled)
    return Unit(PRODUCTION, "policy", objects, least=least)


def _mounted(controller: Object) -> set[str]:
    """Name the Secrets that pods read, some of which may be the user's own."""
    volumes = controller["spec"]["template"]["spec"].get("volumes", ())
    return {f"Secret/{volume['secret']['secretName']}" for volume in volumes if "secret" in volume}


def _told(objects: Sequence[Object], digest: str) -> Sequence[Object]:
    return [*objects[:-1], annotated(objects[-1], {DIGEST: digest})]
