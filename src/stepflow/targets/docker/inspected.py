"""A container as the engine has it: what its labels record, how it is set up and how it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from posixpath import normpath
from typing import Annotated, Any, Literal, NamedTuple, cast, get_args

from pydantic import Field, NonNegativeInt, TypeAdapter

from stepflow.targets.docker.container import FILES, ContainerKind
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.targets.identity import KIND, NAME
from stepflow.workload import HttpProbe

DIGEST = "dev.stepflow.digest"  # the engine's
NUMBER = "dev.stepflow.number"  # of this copy; 0 where there is only one
MEANING = "dev.stepflow.meaning"  # JSON: what cannot be inspected, by name -> hash
CARE = "dev.stepflow.care"  # JSON: the rest of a `ContainerRecord`
_LABELLED = ("kind", "owner", "number", "digest", "parts")  # those with a label of their own
_NUMBERED = re.compile(r"-([1-9]\d{0,8})$")
_DATA = re.compile(r"server `(.*)` has other data")

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Condition = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
"""What the engine calls a container's status."""


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """How to look after a container, whichever process created it."""

    kind: ContainerKind
    owner: str
    number: NonNegativeInt = 0
    digest: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    listens: Mapping[str, int] = field(default_factory=dict)  # port -> its number inside
    published: Mapping[str, int] = field(default_factory=dict)  # port -> its number on this machine, where it matters
    ready: HttpProbe | None = None
    health: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    grace: Seconds = 15.0
    drain: int | None = None
    deadline: Seconds = 60.0

    @property
    def instance(self) -> str:
        """Its name within the platform."""
        return f"{self.owner}-{self.number}" if self.kind == "workload" else self.owner


_RECORD = TypeAdapter(ContainerRecord)
_CARE, _PARTS = TypeAdapter(dict[str, Any]), TypeAdapter(dict[str, str])


class Reply(NamedTuple):
    """What a readiness probe was answered, in words."""

    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Inspected:
    """A container as it is."""

    id: str
    record: ContainerRecord  # little more than whose it is, unless `readable`
    condition: Condition
    name: str = ""  # on the engine
    readable: bool = True  # whether its labels are
    started: str = ""  # RFC 3339 with nanoseconds
    code: int = 0  # with which it exited last
    out_of_memory: bool = False
    error: str = ""  # why the engine could not start it
    health: str = ""  # of its own health check: "healthy", "unhealthy", "starting", or "" when it has none
    policy: str = "no"  # the engine's restart policy
    restarts: int = 0
    network: str = ""  # id of the platform's network that it is in
    image: str = ""  # the image's id
    settings: Mapping[str, object] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)  # a hand may have put a secret there
    ports: Mapping[int, int] = field(default_factory=dict)  # inside -> on this machine, as long as it runs
    reply: Reply | None = None  # to its readiness probe, where it was asked

    @property
    def instance(self) -> str:
        """Its name within the platform."""
        return self.record.instance

    @property
    def proven(self) -> bool:
        """Whether it was ready once: from then on the engine keeps it running."""
        return self.policy not in {"", "no"}

    @property
    def up(self) -> bool:
        """Whether it has its ports, and has to be stopped before it is removed."""
        return self.condition in {"running", "paused", "restarting"}

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self.error:
            return f"could not be started: {self.error}"
        if self.out_of_memory:
            return "was killed by the kernel: it used more memory than it may"
        signal = f" (signal {self.code - 128})" if 128 < self.code < 160 else ""  # noqa: PLR2004 - the shells' custom
        return f"exited with code {self.code}{signal}"

    def port(self, name: str) -> int | None:
        """Return the number at which a port of it is reached from this machine; None when it does not run."""
        return self.ports.get(self.record.listens.get(name, 0))

    @property
    def url(self) -> str:
        """Its address for people on this machine; "" when it does not run or listens nowhere."""
        name = "http" if "http" in self.record.listens else next(iter(self.record.listens), "")
        number = self.port(name)
        if number is None:
            return ""
        scheme = {"postgres": "postgresql", "valkey": "redis", "nats": "nats"}.get(self.record.owner, "http")
        return f"{scheme if self.record.kind == 'server' else 'http'}://127.0.0.1:{number}"


def labels(record: ContainerRecord) -> dict[str, str]:
    """Write a record down as labels."""
    care = {name: value for name, value in asdict(record).items() if name not in _LABELLED}
    return {
        DIGEST: record.digest,
        NUMBER: str(record.number),
        MEANING: json.dumps(dict(record.parts), sort_keys=True),
        CARE: json.dumps(care, sort_keys=True),
    }


def read(labels: Mapping[str, str], kind: ContainerKind, owner: str) -> ContainerRecord:
    """Read a record from labels; what another version of stepflow did not write has its default.

    Raises `ValueError` where a label is not what any version writes.
    """
    own = {
        "kind": kind,
        "owner": owner,
        "number": labels.get(NUMBER, "0"),
        "digest": labels.get(DIGEST, ""),
        "parts": _parts(_PARTS.validate_json(labels.get(MEANING, "{}"))),
    }
    return _RECORD.validate_python({**_CARE.validate_json(labels.get(CARE, "{}")), **own})


def _parts(written: Mapping[str, str]) -> dict[str, str]:
    """Return the parts by their names of today: 0.1.0 called them by what it said of a change."""
    named = {_DATA.sub(r"data of `\1`", name.removesuffix(" changed")): value for name, value in written.items()}
    kinds = ("variable ", "configuration ", "data of ")
    return {name: value for name, value in named.items() if name.startswith(kinds)}


def inspected(raw: Mapping[str, Any], identity: DockerIdentity) -> Inspected:
    """Return what the engine tells of a container as one value."""
    state, labels = raw["State"], raw["Config"]["Labels"] or {}
    networking = raw["NetworkSettings"]
    name = raw["Name"].removeprefix("/")
    record, readable = _record(name, labels, identity)
    network = (networking.get("Networks") or {}).get(identity.prefix) or {}
    return Inspected(
        id=raw["Id"],
        record=record,
        condition=state["Status"],
        name=name,
        readable=readable,
        started=state["StartedAt"],
        code=state["ExitCode"],
        out_of_memory=state["OOMKilled"],
        error=state["Error"],
        health=(state.get("Health") or {}).get("Status", ""),
        policy=raw["HostConfig"]["RestartPolicy"]["Name"] or "no",
        restarts=raw["RestartCount"],
        network=network.get("NetworkID", ""),
        image=raw.get("Image", ""),
        settings=settings(raw["Config"], raw["HostConfig"]),
        env=variables(raw["Config"]),
        ports=_ports(networking.get("Ports") or {}),
    )


def _record(name: str, labels: Mapping[str, str], identity: DockerIdentity) -> tuple[ContainerRecord, bool]:
    """Return the record in its labels, else one of what its name tells, and whether the labels can be read."""
    kind, owner = cast("ContainerKind", labels.get(KIND, "workload")), labels.get(NAME, "")
    try:
        return read(labels, kind, owner), True
    except ValueError:
        instance, number = name.removeprefix(f"{identity.prefix}-"), _NUMBERED.search(name)
        kind = kind if kind in get_args(ContainerKind) else "workload"
        copy = int(number[1]) if number and kind == "workload" else 0
        return ContainerRecord(kind, owner or instance, copy, labels.get(DIGEST, "")), False


def _ports(raw: Mapping[str, Any]) -> dict[int, int]:
    """Read `{"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}]}`."""
    bound = ((inside, bindings[0]["HostPort"]) for inside, bindings in raw.items() if bindings)
    return {int(inside.partition("/")[0]): int(number) for inside, number in bound if number}


ENTRYPOINT, FOLDER = "entry point", "working directory"
"""What a container has from its image."""
MEMORY, SWAP, PROCESSES, PROCESSORS = "memory limit", "memory and swap limit", "process limit", "processor limit"
UPDATABLE: Mapping[str, str] = {MEMORY: "Memory", SWAP: "MemorySwap", PROCESSES: "PidsLimit", PROCESSORS: "NanoCpus"}
"""What can be changed while a container runs, and how the engine's API calls it."""


def variables(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment in a `Config` of the engine's API, of a container or of an image."""
    parts = (text.partition("=") for text in config.get("Env") or ())
    return {name: value for name, _, value in parts}


def settings(config: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, object]:
    """Return how a container is set up, by field, from a `Config` and a `HostConfig` of the engine's API.

    The same for what is sent to create a container and for what is inspected; empty where the engine has no limit.
    """
    health = {name: value for name, value in (config.get("Healthcheck") or {}).items() if value}
    return {
        "command": list(config.get("Cmd") or ()),
        ENTRYPOINT: list(config.get("Entrypoint") or ()),
        FOLDER: normpath(config.get("WorkingDir") or "/"),
        "user": config.get("User") or "",
        "stop signal": config.get("StopSignal") or "",
        "health check": health,
        "read-only root": bool(host.get("ReadonlyRootfs")),
        "dropped capabilities": sorted(host.get("CapDrop") or ()),
        "added capabilities": sorted(host.get("CapAdd") or ()),
        "privileged mode": bool(host.get("Privileged")),
        "security options": sorted(host.get("SecurityOpt") or ()),
        "init process": bool(host.get("Init")),
        "log settings": host.get("LogConfig") or {},
        "temporary folders": dict(host.get("Tmpfs") or {}),
        "published ports": _bindings(host.get("PortBindings") or {}),
        "volumes": _mounts(host.get("Mounts") or ()),
        "bind mounts": sorted(host.get("Binds") or ()),
        "other containers' volumes": sorted(host.get("VolumesFrom") or ()),
        "devices": [each.get("PathOnHost", "") for each in host.get("Devices") or ()],
        "extra hosts": sorted(host.get("ExtraHosts") or ()),
        "process namespace": host.get("PidMode") or "",
        "name servers": list(host.get("Dns") or ()),
        "additional groups": sorted(host.get("GroupAdd") or ()),
        "kernel parameters": dict(host.get("Sysctls") or {}),
        "resource limits": sorted(_ulimit(each) for each in host.get("Ulimits") or ()),
        **{field: max(host.get(name) or 0, 0) for field, name in UPDATABLE.items()},
    }


def _ulimit(raw: Mapping[str, Any]) -> str:
    return f"{raw['Name']}={raw['Soft']}:{raw['Hard']}"


def _bindings(raw: Mapping[str, Any]) -> dict[str, str]:
    """Return the address on this machine by the port inside; one whose number the engine chooses ends in `:`."""
    numbers = {"0": "", None: ""}
    return {
        inside.partition("/")[0]: ", ".join(
            f"{each.get('HostIp', '')}:{numbers.get(each.get('HostPort'), each.get('HostPort'))}"
            for each in bindings or ()
        )
        for inside, bindings in raw.items()
    }


def _mounts(raw: Any) -> dict[str, str]:  # noqa: ANN401 - a list from the engine's JSON
    """Return the named volumes by where they are mounted; that with the container's own files has no name."""
    return {each["Target"]: each.get("Source", "") for each in raw if each["Target"] != FILES}
