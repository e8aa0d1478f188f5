"""What a bundle is made from: workloads, the backing services that they need, and how far they scale."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from stepflow.targets.images import BASE, IMAGES
from stepflow.targets.kubernetes.manifests.model import Platform
from stepflow.targets.kubernetes.values import Nats, Postgres, Storage, Valkey, Values
from stepflow.workload import Declaration, Production, Server, ServerKind, Workload

_SMALL = Values(
    storage=Storage(size="1Gi"),
    nats=Nats(nodes=1, size="1Gi"),
    postgres=Postgres(size="1Gi"),
    valkey=Valkey(size="1Gi"),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """Copies of a scalable workload, and the average use of CPU (percent of the request) that adds one."""

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
    values: Values = field(default_factory=Values)
    small: bool = False  # one copy of everything, from images that were loaded into the node
    digests: tuple[tuple[str, str], ...] = ()  # of built images, by context: `sha256:…`

    @property
    def platform(self) -> Platform:
        """What all objects share."""
        return Platform(
            name=self.name,
            namespace=self.namespace,
            built={each.context: self.image(each.context) for each in self.workloads if each.context},
            official={name: image.qualified for name, image in IMAGES.items() if name != BASE},
            numbers={each.name: {port.name: port.number for port in each.ports} for each in self.workloads},
            values=self.values,
            pull="IfNotPresent" if self.small else "Always",
        )

    @property
    def production(self) -> Production | None:
        """How it is run, where it is not small: what keeps no data of its own scales."""
        if self.small:
            return None
        scaled = tuple(each.name for each in self.workloads if not each.data)
        scale = self.scale
        return Production(
            self.workloads, self.servers, scaled, scale.at_least, scale.at_most, scale.cpu_target, scale.automatic
        )

    @property
    def declaration(self) -> Declaration:
        """Everything that is declared, as if by one step."""
        return Declaration(self.workloads, self.servers)

    def development(self) -> Bundle:
        """Give the same platform for one small node: a copy of each, one node of NATS, no autoscaler."""
        workloads = tuple(replace(each, replicas=1) for each in self.workloads)
        return replace(self, workloads=workloads, values=_SMALL, small=True)

    def image(self, context: str) -> str:
        """Name the image that is built from a folder of the rendered tree."""
        prefix = f"{self.registry.rstrip('/')}/" if self.registry else ""
        digest = dict(self.digests).get(context)
        return f"{prefix}{self.namespace}/{context}:{self.image_tag}" + (f"@{digest}" if digest else "")

    def images(self) -> dict[str, str]:
        """Give the references of all images, by the folder that one is built from or the name of its program."""
        platform = self.platform
        run = {*self.server_kinds(), *(str(each.command[0]) for each in self.workloads if not each.context)}
        official = {name: platform.official[name] for name in sorted(run & platform.official.keys())}
        return dict(sorted(platform.built.items())) | official

    def server_kinds(self) -> tuple[ServerKind, ...]:
        """Give the kinds of backing services, each once, in order."""
        return tuple(sorted({server.kind for server in self.servers}))

    def databases(self) -> tuple[str, ...]:
        """Give the names of PostgreSQL's databases, in order."""
        return tuple(sorted({s.database for s in self.servers if s.kind == "postgres" and s.database}))
