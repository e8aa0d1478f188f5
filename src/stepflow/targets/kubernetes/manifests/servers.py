"""The backing services that a platform brings along; the user's own servers are not among its objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stepflow.targets.references import server_files
from stepflow.workload import Declaration, Server, ServerKind

from .model import Object, Platform
from .nats import nats
from .postgres import postgres
from .server import BackingServer, objects_of
from .valkey import valkey

_SERVERS: Mapping[ServerKind, Callable[[Platform], BackingServer]] = {
    "nats": nats,
    "postgres": postgres,
    "valkey": valkey,
}


def needed(platform: Platform, declaration: Declaration) -> tuple[Server, ...]:
    """Return the servers (PostgreSQL by database) declared or referred to, without the user's own, in order."""
    wanted = {(each.kind, each.database) for each in declaration.servers}
    wanted |= {(file.kind, file.database) for each in declaration.workloads for file in server_files(each)}
    return tuple(Server(*each) for each in sorted(wanted) if platform.external(*each) is None)


def server_objects(platform: Platform, kind: ServerKind) -> list[Object]:
    """Return everything that one backing service needs, in the order in which it is applied; its controller is last.

    Nothing where the user has his own; of PostgreSQL's databases some may be his and others the platform's (`needed`).
    """
    if kind != "postgres" and platform.external(kind):
        return []
    return objects_of(platform, _SERVERS[kind](platform))
