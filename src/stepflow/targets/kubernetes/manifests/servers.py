"""The backing services that a platform brings along; the user's own servers are not among its objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from stepflow.workload import Server, ServerKind

from .model import Object, Release
from .nats import nats
from .postgres import postgres
from .server import BackingServer, objects_of
from .valkey import valkey

_SERVERS: Mapping[ServerKind, Callable[[Release], BackingServer]] = {
    "nats": nats,
    "postgres": postgres,
    "valkey": valkey,
}


def brought(release: Release, servers: Iterable[Server]) -> tuple[Server, ...]:
    """Return the servers (PostgreSQL by database) that the platform brings along: all but the user's own."""
    return tuple(each for each in servers if release.external(each.kind, each.database) is None)


def server_objects(release: Release, kind: ServerKind) -> list[Object]:
    """Return everything that one backing service needs, in the order in which it is applied; its controller is last.

    Nothing where the user has his own; of PostgreSQL's databases some may be his and others the platform's (`brought`).
    """
    if kind != "postgres" and release.external(kind):
        return []
    return objects_of(release, _SERVERS[kind](release))
