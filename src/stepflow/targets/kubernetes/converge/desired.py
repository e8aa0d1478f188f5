"""From a declaration to the desired objects, in units that are created and waited for separately. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from stepflow.targets.addresses import CLIENT_PORTS
from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.converge.compare import annotated
from stepflow.targets.kubernetes.manifests.foundation import foundation
from stepflow.targets.kubernetes.manifests.jobs import database_objects, migration_objects
from stepflow.targets.kubernetes.manifests.model import Release
from stepflow.targets.kubernetes.manifests.names import DIGEST, PLATFORM
from stepflow.targets.kubernetes.manifests.production import production_objects
from stepflow.targets.kubernetes.manifests.servers import brought, server_objects
from stepflow.targets.kubernetes.manifests.workloads import workload_objects
from stepflow.targets.kubernetes.state.snapshot import owner_of
from stepflow.targets.resolution import Resolution, ResolvedProduction
from stepflow.targets.resolved import Resolved, backing_services
from stepflow.workload import PRODUCTION, ServerKind

NAMESPACE = "namespace of the platform"
"""The name of the stage that everything else needs."""
SERVER_START = 180.0  # seconds that a server may take from the start of its container: it may have a log to replay


class PodImage(NamedTuple):
    """What pods run: built from a folder of the rendered tree, or the official one of a server or program."""

    name: str
    built: bool = False


class Least(NamedTuple):
    """A Deployment that needs so many copies at least, each of which may take `deadline` seconds to start."""

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
    digest: str = ""  # of what a workload is made from
    images: tuple[PodImage, ...] = ()

    @property
    def main(self) -> Object:
        """The last object."""
        return self.objects[-1]


def units(release: Release, resolution: Resolution) -> tuple[Unit, ...]:
    """Return the units of a declaration: the servers that are declared or referred to, what makes their databases, the
    workloads, how all is run.

    Raises `PermanentError` for what a workload refers to and is not there.
    """
    needed, digests = brought(release, resolution.backing), resolution.digests
    servers = {kind: _server(release, kind) for kind in dict.fromkeys(each.kind for each in needed)}
    databases = {each.database: _database(release, each.database) for each in needed if each.database}
    there = [*servers.values(), *databases.values()]
    for each in resolution.workloads:
        mine = brought(release, backing_services((), (each,)))
        before = [servers[server.kind] for server in mine]
        before += [databases[server.database] for server in mine if server.database]
        needs = (*dict.fromkeys(unit.name for unit in before), *each.workload.needs)
        there.append(_workload(release, each, digests.get(each.name, ""), needs))
    if resolution.production:
        there.append(_production(release, resolution.production, digests.get(PRODUCTION, "")))
    return tuple(there)


def _server(release: Release, kind: ServerKind) -> Unit:
    objects = server_objects(release, kind)
    return Unit(owner_of(objects[-1]), "server", tuple(objects), images=(PodImage(kind),))


def _database(release: Release, name: str) -> Unit:
    objects = _kept(database_objects(release, name))
    return Unit(owner_of(objects[-1]), "database", tuple(objects), ("postgres",), images=(PodImage("postgres"),))


def _workload(release: Release, resolved: Resolved, digest: str, needs: Sequence[str]) -> Unit:
    workload = resolved.workload
    objects = workload_objects(release, resolved, digest)
    first = _kept(migration_objects(release, resolved))
    image = PodImage(workload.context or resolved.program, bool(workload.context))
    deadline = workload.ready.deadline
    return Unit(
        workload.name, "workload", tuple(objects), tuple(needs), tuple(first), deadline, digest=digest, images=(image,)
    )


def _production(release: Release, production: ResolvedProduction, digest: str) -> Unit:
    objects = production_objects(release, production)  # first: it refuses what cannot scale
    told = (*objects[:-1], annotated(objects[-1], {DIGEST: digest}))
    declared = production.declared
    deadlines = {each.name: each.workload.ready.deadline for each in production.workloads}
    least = tuple(Least(name, declared.at_least, deadlines[name]) for name in declared.scaled)
    return Unit(PRODUCTION, "policy", told, tuple(declared.scaled), least=least, digest=digest)


def _kept(jobs: Sequence[Object]) -> list[Object]:
    """Leave out a Job's time to live: its object is the record that it completed, as long as it is desired."""
    ends = "ttlSecondsAfterFinished"
    return [
        {**each, "spec": {name: value for name, value in each["spec"].items() if name != ends}}
        if each["kind"] == "Job"
        else each
        for each in jobs
    ]


@dataclass(frozen=True, slots=True)
class Stage:
    """What is converged in one go: an image, or some of an owner's objects that do not wait for each other."""

    name: str  # of the last stage of an owner: the owner's
    part: Literal["image", "namespace", "shared", "objects", "job", "controller", "policy"]
    unit: Unit
    objects: tuple[Object, ...] = ()
    needs: tuple[str, ...] = ()  # names of stages, or of owners that another step declares
    last: bool = False  # of its owner's, which then has no other objects

    @property
    def owner(self) -> str:
        """The name of its owner."""
        return self.unit.name

    @property
    def main(self) -> Object:
        """The object that a Job or a controller is."""
        return self.objects[-1]

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers whose data it works with."""
        return tuple(each for each in self.unit.needs if each in CLIENT_PORTS)


def image_stage(image: PodImage) -> str:
    """Return the name of the stage that provides an image."""
    return f"{'built' if image.built else 'official'} image {image.name}"


def stages(release: Release, resolution: Resolution, secrets: Sequence[Object]) -> tuple[Stage, ...]:
    """Return the stages of a declaration, what they need first; `secrets` are the Secrets that it needs.

    Raises `PermanentError` as `units` does.
    """
    namespace, *shared = foundation(release)
    whole = Unit(PLATFORM, "policy", (namespace,))
    found = units(release, resolution)
    images = dict.fromkeys(image for unit in found for image in unit.images)
    return (
        Stage(NAMESPACE, "namespace", whole, (namespace,)),
        Stage(PLATFORM, "shared", whole, (*shared, *secrets), (NAMESPACE,), last=True),
        *(Stage(image_stage(each), "image", Unit(each.name, "workload", (), images=(each,))) for each in images),
        *(stage for unit in found for stage in _of_unit(unit)),
    )


def _of_unit(unit: Unit) -> Iterator[Stage]:
    """Yield the stages of one owner: what its pods need, what migrates its database, what runs."""
    if unit.kind == "policy":
        yield Stage(unit.name, "policy", unit, unit.objects, (PLATFORM, *unit.needs), last=True)
        return
    before = f"objects of {unit.name}"
    yield Stage(before, "objects", unit, (*unit.objects[:-1], *unit.first[:-1]), (PLATFORM,))
    needs = (before, *map(image_stage, unit.images), *unit.needs)
    if unit.first:
        name = f"migration of {unit.name}"
        yield Stage(name, "job", unit, unit.first[-1:], needs)
        needs = (name, *needs)
    part: Literal["job", "controller"] = "job" if unit.main["kind"] == "Job" else "controller"
    yield Stage(unit.name, part, unit, (unit.main,), needs, last=True)
