"""Addresses as text, for each viewpoint: `host` is what it (this machine, a container network) calls the other side."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from stepflow.errors import PermanentError
from stepflow.handoff import Endpoint, ServerFile
from stepflow.workload import ServerKind

Numbers = Mapping[str, Mapping[str, int]]
"""Workload or server -> name of a port -> number."""

CLIENT_PORTS: Mapping[ServerKind, int] = {"nats": 4222, "postgres": 5432, "valkey": 6379}
"""Where clients find each backing server, wherever it has an address of its own."""
NATS_USER = "stepflow"
POSTGRES_ADMIN = "postgres"
_DATABASE = re.compile(r"[a-z][a-z0-9_]{0,40}")


class ServerUrl(NamedTuple):
    """The URL of a backing service with its password left out: `before`, the text of the secret, `after`."""

    before: str
    secret: str  # the secret's name
    after: str


def endpoint(value: Endpoint, host: str, numbers: Numbers) -> str:
    """Resolve a workload's address; `bind` is the host, `public` the URL, where the viewpoint makes no difference.

    Raises `PermanentError` for a workload or port that does not exist.
    """
    number = port_number(value, numbers)
    parts = {"host": host, "bind": host, "port": str(number), "address": f"{host}:{number}"}
    return parts.get(value.part, f"http://{host}:{number}{value.path}")


def port_number(value: Endpoint, numbers: Numbers) -> int:
    """Find the port that an endpoint names. Raises `PermanentError`, naming what there is."""
    if value.workload not in numbers:
        raise PermanentError(f"there is no workload `{value.workload}`", hint=f"there are: {_listed(numbers)}")
    ports = numbers[value.workload]
    if value.port not in ports:
        raise PermanentError(f"`{value.workload}` has no port `{value.port}`", hint=f"it has: {_listed(ports)}")
    return ports[value.port]


def server_url(value: ServerFile, host: str, number: int) -> ServerUrl:
    """Return the address of a backing service; of PostgreSQL's databases, each with a role of its own name."""
    where = f"@{host}:{number}"
    match value.kind:
        case "nats":
            return ServerUrl(f"nats://{NATS_USER}:", server_secret(value), where)
        case "valkey":
            return ServerUrl("redis://:", server_secret(value), f"{where}/0")
        case "postgres":
            owner = role(value.database) if value.database else POSTGRES_ADMIN
            return ServerUrl(f"postgresql://{owner}:", server_secret(value), f"{where}/{owner}")


def role(database: str) -> str:
    """Name the role that owns a database, which is called like it. Raises `PermanentError` for what cannot be one."""
    if not _DATABASE.fullmatch(database) or database == POSTGRES_ADMIN:
        raise PermanentError(f"`{database}` cannot be a database's name", hint="use lower-case letters, digits and `_`")
    return database


def server_secret(value: ServerFile) -> str:
    """Return the name of the secret that is the password of a server, or of a database's role."""
    return f"{value.kind}-{value.database}" if value.database else value.kind


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
