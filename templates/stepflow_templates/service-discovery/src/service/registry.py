"""What runs where: the instances with a lease, as a frozen value. Pure; `watch` keeps it up to date."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Status = Literal["passing", "warning", "critical"]
STATUSES: tuple[Status, ...] = ("passing", "warning", "critical")
HEALTH_PATH = "/health/ready"
ORIGIN = "origin"  # in `meta`: what registered it, when it did not itself
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_ADDRESS = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_PLAIN = re.compile(rb"[A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Check:
    """A Consul check: passed by the instance's owner every `ttl` seconds, or asked at `http` every `interval` seconds;
    neither: set by hand.
    """

    name: str = ""
    ttl: float = 0.0
    http: str = ""
    interval: float = 10.0
    timeout: float = 10.0
    deregister_after: float = 0.0  # seconds of being critical after which the instance is removed; 0: never
    output: str = ""
    moment: float = 0.0  # Unix time in seconds when it was last passed, or when it became critical


@dataclass(frozen=True, slots=True)
class Instance:
    """One running copy of a service. `routes` are path prefixes that the gateway sends to it."""

    service: str
    id: str
    address: str
    port: int
    routes: tuple[str, ...] = ()
    public: tuple[str, ...] = ()  # `METHOD[,METHOD] PATH` that need no token; a trailing `*` makes it a prefix
    version: str = ""
    status: Status = "passing"
    meta: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    check: Check | None = None  # None: the lease itself is the check
    created: int = 0  # the index when it came, and when it last changed
    modified: int = 0

    @property
    def health(self) -> str:
        """The path of the health check; empty when there is none."""
        return self.meta.get("health", HEALTH_PATH)

    @property
    def key(self) -> str:
        """Its key in the registry's bucket."""
        return f"{quote(self.service)}.{quote(self.id)}"


@dataclass(frozen=True, slots=True)
class Registry:
    """All instances by key, as of one change."""

    instances: Mapping[str, Instance] = field(default_factory=dict)
    index: int = 0  # of the last change beyond a lease renewal; grows

    def services(self) -> dict[str, list[Instance]]:
        """Instances by service, both in order."""
        found: dict[str, list[Instance]] = {}
        for instance in sorted(self.instances.values(), key=lambda each: (each.service, each.id)):
            found.setdefault(instance.service, []).append(instance)
        return found

    def of(self, service: str) -> list[Instance]:
        """The instances of one service, in order."""
        return self.services().get(service, [])

    def find(self, instance_id: str) -> Instance | None:
        """The instance with this id, whatever its service."""
        return next((each for each in self.instances.values() if each.id == instance_id), None)


def changed(registry: Registry, key: str, entry: Any, index: int) -> Registry:  # noqa: ANN401 - any JSON
    """Return the registry after one entry changed, or (None) left. Raises `ValueError` for an entry that cannot be
    read.
    """
    known = registry.instances.get(key)
    others = {name: each for name, each in registry.instances.items() if name != key}
    if entry is None:
        return Registry(others, index) if known else registry
    found = decode(entry, index, known)
    return Registry({**others, key: found}, registry.index if known and found.modified == known.modified else index)


def check_names(service: str, address: str) -> None:
    """Reject what is not a host. Raises `ValueError`.

    A service's name is a domain of the mesh, and Envoy rejects the routes of all services for a single invalid one.
    """
    if not _NAME.fullmatch(service):
        raise ValueError(f"Service name `{service[:128]}` is not made of letters, digits, `-`, `_` and `.`")
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"Service address `{address[:128]}` is neither an IP address nor a host's name")


def quote(name: str) -> str:
    """A name as one token of a NATS key: other characters than letters, digits, `_` and `-` become `=XX` (hex)."""
    pieces = (chr(byte) if _PLAIN.match(bytes([byte])) else f"={byte:02X}" for byte in name.encode())
    return "".join(pieces)


def decode(entry: Any, index: int, known: Instance | None) -> Instance:  # noqa: ANN401 - any JSON
    """Read an entry of the bucket. Raises `ValueError` with what is wrong, since other clients may have written it.

    `known` is the previous entry: `created` stays, and `modified` moves on only when more than the lease changed.
    """
    try:
        found = _instance(entry, index, known.created if known else index)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a registry entry lacks or mistypes {error}") from error
    if known and _same(found, known):
        return replace(found, modified=known.modified)
    return found


def _instance(entry: dict[str, Any], index: int, created: int) -> Instance:
    status = entry.get("status", "passing")
    if status not in STATUSES:
        raise ValueError(f"status `{status}` is none of {', '.join(STATUSES)}")
    port = int(entry["port"])
    if not 0 < port < 1 << 16:
        raise ValueError(f"port {port} is out of range")
    check_names(str(entry["service"]), str(entry["address"]))
    check = entry.get("check")
    return Instance(
        service=str(entry["service"]),
        id=str(entry["instance"]),
        address=str(entry["address"]),
        port=port,
        routes=tuple(str(route) for route in entry.get("routes") or ()),
        public=tuple(str(route) for route in entry.get("public") or ()),
        version=str(entry.get("version", "")),
        status=status,
        meta={str(key): str(text) for key, text in (entry.get("meta") or {}).items()},
        tags=tuple(str(tag) for tag in entry.get("tags") or ()),
        check=Check(**check) if check else None,
        created=created,
        modified=index,
    )


def encode(instance: Instance) -> bytes:
    """Write an entry as `decode` reads it."""
    entry: dict[str, object] = {
        "service": instance.service,
        "instance": instance.id,
        "address": instance.address,
        "port": instance.port,
        "routes": list(instance.routes),
        "public": list(instance.public),
        "version": instance.version,
        "status": instance.status,
        "meta": dict(instance.meta),
        "tags": list(instance.tags),
    }
    if instance.check:
        entry["check"] = asdict(instance.check)
    return json.dumps(entry, separators=(",", ":"), sort_keys=True).encode()


def _same(one: Instance, other: Instance) -> bool:
    """Return whether only the lease was renewed."""
    return _lasting(one) == _lasting(other)


def _lasting(instance: Instance) -> Instance:
    check = replace(instance.check, moment=0.0) if instance.check else None
    return replace(instance, check=check, created=0, modified=0)
