"""What a bundle is made from: workloads, the backing services that they need, and how far they scale."""

from __future__ import annotations

from dataclasses import dataclass

from stepflow.targets.images import BASE, IMAGES
from stepflow.targets.kubernetes.manifests.model import Platform
from stepflow.workload import Declaration, Production, Server, ServerKind, Workload


@dataclass(frozen=True, slots=True)
class Scale:
    """Copies of a scalable workload, and the average use of a core (percent) that adds one."""

    at_least: int
    at_most: int
    cpu_target: int
    automatic: bool


@dataclass(frozen=True, slots=True)
class Bundle:
    """All that the bundle describes."""

    name: str
    namespace: str
    registry: str
    image_tag: str
    workloads: tuple[Workload, ...]
    servers: tuple[Server, ...]
    scale: Scale

    @property
    def platform(self) -> Platform:
        """What all objects share."""
        return Platform(
            name=self.name,
            namespace=self.namespace,
            built={each.context: self.image(each.context) for each in self.workloads if each.context},
            official={name: image.qualified for name, image in IMAGES.items() if name != BASE},
            numbers={each.name: {port.name: port.number for port in each.ports} for each in self.workloads},
        )

    @property
    def production(self) -> Production:
        """How it is run: what keeps no data of its own scales."""
        scaled = tuple(each.name for each in self.workloads if not each.data)
        scale = self.scale
        return Production(
            self.workloads, self.servers, scaled, scale.at_least, scale.at_most, scale.cpu_target, scale.automatic
        )

    @property
    def declaration(self) -> Declaration:
        """Everything that is declared, as if by one step."""
        return Declaration(self.workloads, self.servers)

    def image(self, context: str) -> str:
        """Name the image that is built from a folder of the rendered tree."""
        prefix = f"{self.registry.rstrip('/')}/" if self.registry else ""
        return f"{prefix}{self.namespace}/{context}:{self.image_tag}"

    def server_kinds(self) -> tuple[ServerKind, ...]:
        """Give the kinds of backing services, each once, in order."""
        return tuple(sorted({server.kind for server in self.servers}))

    def databases(self) -> tuple[str, ...]:
        """Give the names of PostgreSQL's databases, in order."""
        return tuple(sorted({s.database for s in self.servers if s.kind == "postgres" and s.database}))
