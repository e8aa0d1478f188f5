"""What there is of a platform on the engine: its containers, found by the platform's label, each as one plain value."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from stepflow.targets.docker.identity import Identity
from stepflow.targets.docker.record import Record, read
from stepflow.targets.engine.client import Engine
from stepflow.targets.engine.errors import GONE, RefusedError
from stepflow.targets.identity import KIND, NAME

Condition = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
"""What the engine calls a container's status."""


@dataclass(frozen=True, slots=True)
class Found:
    """A container as it is."""

    id: str
    record: Record
    condition: Condition
    started: str = ""  # RFC 3339 with nanoseconds
    code: int = 0  # with which it ended last
    out_of_memory: bool = False
    error: str = ""  # why the engine could not start it
    health: str = ""  # of its own healthcheck: "healthy", "unhealthy", "starting", or "" when it has none
    proven: bool = False  # it was ready once: the engine keeps it running
    restarts: int = 0
    network: str = ""  # id of the platform's network that it is in
    ports: Mapping[int, int] = field(default_factory=dict)  # inside -> on this machine, as long as it runs

    @property
    def instance(self) -> str:
        """Its name within the platform."""
        return self.record.instance

    @property
    def ending(self) -> str:
        """Say how it ended."""
        if self.error:
            return f"could not be started: {self.error}"
        if self.out_of_memory:
            return "was killed by the kernel: it used more memory than it may"
        signal = f" (signal {self.code - 128})" if 128 < self.code < 160 else ""  # noqa: PLR2004 - the shells' custom
        return f"exited with code {self.code}{signal}"

    def port(self, name: str) -> int | None:
        """Give the number at which a port of it is reached from this machine; None when it does not run."""
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


async def look(engine: Engine, identity: Identity, *, owner: str = "") -> tuple[Found, ...]:
    """Find a platform's containers, or those of one of its owners, by name."""
    filters = identity.filters(*([f"{NAME}={owner}"] if owner else []))
    listed = await engine.ask(lambda api: api.containers(all=True, filters=filters, quiet=True))
    seen = await asyncio.gather(*(look_at(engine, identity, each["Id"]) for each in listed))
    return tuple(sorted((each for each in seen if each), key=lambda each: (each.record.owner, each.record.number)))


async def look_at(engine: Engine, identity: Identity, container: str) -> Found | None:
    """Look at one container; None when it is gone."""
    try:
        raw = await engine.ask(lambda api: api.inspect_container(container))
    except RefusedError as error:
        if error.status == GONE:
            return None
        raise
    return found(raw, identity)


def found(raw: Mapping[str, Any], identity: Identity) -> Found:
    """Make one value of what the engine tells of a container."""
    state, labels = raw["State"], raw["Config"]["Labels"] or {}
    settings = raw["NetworkSettings"]
    kind = cast("Literal['workload', 'server', 'setup']", labels.get(KIND, "workload"))
    network = (settings.get("Networks") or {}).get(identity.prefix) or {}
    return Found(
        id=raw["Id"],
        record=read(labels, kind, labels.get(NAME, "")),
        condition=state["Status"],
        started=state["StartedAt"],
        code=state["ExitCode"],
        out_of_memory=state["OOMKilled"],
        error=state["Error"],
        health=(state.get("Health") or {}).get("Status", ""),
        proven=raw["HostConfig"]["RestartPolicy"]["Name"] not in {"", "no"},
        restarts=raw["RestartCount"],
        network=network.get("NetworkID", ""),
        ports=_ports(settings.get("Ports") or {}),
    )


def _ports(raw: Mapping[str, Any]) -> dict[int, int]:
    """Read `{"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}]}`."""
    bound = ((inside, bindings[0]["HostPort"]) for inside, bindings in raw.items() if bindings)
    return {int(inside.partition("/")[0]): int(number) for inside, number in bound if number}
