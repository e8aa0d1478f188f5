"""What a bundle is made from: workloads, the backing services that they need, and how far they scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stepflow.errors import PermanentError
from stepflow.workload import Server, ServerKind, Workload

Object = dict[str, Any]
"""One Kubernetes object, or a part of one, as it goes into YAML."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Copies of a scalable workload, and the average use of its requested CPU (percent) that adds one."""

    at_least: int
    at_most: int
    cpu_target: int
    automatic: bool


@dataclass(frozen=True, slots=True)
class Platform:
    """All that the bundle describes."""

    name: str
    namespace: str
    registry: str
    image_tag: str
    workloads: tuple[Workload, ...]
    servers: tuple[Server, ...]
    services: frozenset[str]
    scale: Scale

    def port_number(self, workload: str, port: str) -> int:
        """Give the number of a workload's port in the cluster; raises `PermanentError` for one that is not there."""
        for candidate in self.workloads:
            if candidate.name == workload:
                for known in candidate.ports:
                    if known.name == port:
                        return known.number
        raise PermanentError(
            f"a reference names port `{port}` of workload `{workload}`, which no step declares",
            hint=f"declared: {', '.join(sorted(w.name for w in self.workloads)) or 'none'}",
        )

    def scales(self, workload: Workload) -> bool:
        """Say whether copies may come and go: a service handed off, or what people reach, without data of its own."""
        known = workload.name in self.services or any(port.published for port in workload.ports)
        return known and not workload.data

    def copies(self, workload: Workload) -> tuple[int, int]:
        """Give the least and the greatest number of copies."""
        if not self.scales(workload):
            return workload.replicas, workload.replicas
        least = max(self.scale.at_least, workload.replicas)
        return least, max(self.scale.at_most, least) if self.scale.automatic else least

    def server_kinds(self) -> tuple[ServerKind, ...]:
        """Give the kinds of backing services, each once, in order."""
        return tuple(sorted({server.kind for server in self.servers}))

    def databases(self) -> tuple[str, ...]:
        """Give the names of PostgreSQL's databases, in order."""
        return tuple(sorted({s.database for s in self.servers if s.kind == "postgres" and s.database}))
