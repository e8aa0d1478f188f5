"""The backing services that a platform brings along; one of the user's own is none of its objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stepflow.workload import ServerKind

from .model import Object, Platform
from .nats import nats
from .postgres import postgres
from .server import Server, objects_of
from .valkey import valkey

_SERVERS: Mapping[ServerKind, Callable[[Platform], Server]] = {"nats": nats, "postgres": postgres, "valkey": valkey}


def server_objects(platform: Platform, kind: ServerKind) -> list[Object]:
    """Give everything that one backing service needs, in the order in which it is applied; its controller is last.

    Nothing where the user has his own; of PostgreSQL's databases some may be his and others the platform's.
    """
    if kind != "postgres" and platform.external(kind):
        return []
    return objects_of(platform, _SERVERS[kind](platform))
