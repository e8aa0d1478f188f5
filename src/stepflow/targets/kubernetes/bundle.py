"""A whole platform as Kubernetes objects, for plugins that write them to files: the public face of this target.

`Bundle` says what the platform is (what steps declare, and how far it scales), `manifests` returns its objects. Nothing
here talks to a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from stepflow.targets.images import BASE, IMAGES, Image, parse
from stepflow.targets.kubernetes.manifests import secrets
from stepflow.targets.kubernetes.manifests.entry import entry_objects
from stepflow.targets.kubernetes.manifests.foundation import foundation
from stepflow.targets.kubernetes.manifests.jobs import database_objects, migration_objects
from stepflow.targets.kubernetes.manifests.model import Component, Object, Release
from stepflow.targets.kubernetes.manifests.monitoring import monitoring_objects
from stepflow.targets.kubernetes.manifests.names import dns_label
from stepflow.targets.kubernetes.manifests.network import HTTP, is_entry
from stepflow.targets.kubernetes.manifests.production import production_objects, replica_range
from stepflow.targets.kubernetes.manifests.secrets import RequiredSecret
from stepflow.targets.kubernetes.manifests.servers import server_objects
from stepflow.targets.kubernetes.manifests.slot import HELPERS, Slot, quoted
from stepflow.targets.kubernetes.manifests.workloads import workload_objects
from stepflow.targets.kubernetes.options.values import Entry, Nats, Postgres, Storage, Valkey, Values
from stepflow.targets.resolution import ResolvedProduction
from stepflow.targets.resolved import Resolved, backing_services, resolve
from stepflow.workload import PRODUCTION, Declaration, Production, Server, ServerKind

__all__ = [
    "HELPERS",
    "TARGET",
    "Bundle",
    "Image",
    "Manifests",
    "Object",
    "RequiredSecret",
    "Scale",
    "Slot",
    "Slots",
    "dns_label",
    "entry",
    "every",
    "manifests",
    "merged",
    "quoted",
    "replicas",
    "required_secrets",
    "with_host",
    "with_monitoring",
]

TARGET = "kubernetes"
"""The name of the target that applies such objects by itself."""

Manifests = dict[str, list[Object]]
"""The objects of each component in the order in which they are applied; component names begin with their place."""

_SMALL = Values(
    storage=Storage(size="1Gi"),
    nats=Nats(nodes=1, size="1Gi"),
    postgres=Postgres(size="1Gi"),
    valkey=Valkey(size="1Gi"),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How many replicas a workload without data has, and the average CPU use (percent of the request) above which it
    gets more.
    """

    at_least: int
    at_most: int
    cpu_target: int
    automatic: bool  # otherwise always `at_least`


@dataclass(frozen=True, slots=True)
class Slots:
    """What a Helm chart leaves open: the pipelines of Go's `text/template` that return it."""

    namespace: str
    host: str  # at which people reach the gateway; empty if there is none
    pull: str  # `Always` or `IfNotPresent`
    image: Callable[[str], str]  # of the image that is called so in `Bundle.images`


@dataclass(frozen=True, slots=True)
class Bundle:
    """A platform: the workloads and backing services of all steps (`merged`), and where its images come from."""

    name: str
    namespace: str  # an RFC 1123 label, e.g. `dns_label(name)`
    registry: str  # where images are pulled from, e.g. `registry.example.org/team`; "" for those loaded into nodes
    image_tag: str
    workloads: tuple[Resolved, ...]
    servers: tuple[Server, ...]
    scale: Scale
    small: bool = False  # one replica of everything, from images that were loaded into the node
    digests: tuple[tuple[str, str], ...] = ()  # of built images, by context: `sha256:…`

    @property
    def production(self) -> Production | None:
        """How the platform is run: what keeps no data scales. None if it is small."""
        if self.small:
            return None
        workloads, scale = tuple(each.workload for each in self.workloads), self.scale
        scaled = tuple(each.name for each in workloads if not each.data)
        return Production(
            workloads, self.servers, scaled, scale.at_least, scale.at_most, scale.cpu_target, scale.automatic
        )

    @property
    def pull(self) -> str:
        """The pull policy of all images."""
        return "IfNotPresent" if self.small else "Always"

    def development(self) -> Bundle:
        """Return the same platform for one small node: one replica of each workload and server, no autoscaler."""
        alone = (replace(each, workload=replace(each.workload, replicas=1)) for each in self.workloads)
        return replace(self, workloads=tuple(alone), small=True)

    def contexts(self) -> tuple[str, ...]:
        """Return the folders of the rendered tree that images are built from, sorted."""
        return tuple(sorted({each.workload.context for each in self.workloads} - {""}))

    def image(self, context: str) -> str:
        """Return the reference of the image that is built from a folder."""
        prefix = f"{self.registry.rstrip('/')}/" if self.registry else ""
        digest = dict(self.digests).get(context)
        return f"{prefix}{self.namespace}/{context}:{self.image_tag}" + (f"@{digest}" if digest else "")

    def images(self) -> dict[str, Image]:
        """Return all images, by the folder that one is built from or the name of its program."""
        run = {*self.server_kinds(), *(each.program for each in self.workloads if not each.workload.context)}
        built = {context: parse(self.image(context), "registry") for context in self.contexts()}
        return built | {name: parse(IMAGES[name].qualified, name) for name in sorted(run & IMAGES.keys())}

    def server_kinds(self) -> tuple[ServerKind, ...]:
        """Return the kinds of backing services, each once, sorted."""
        return tuple(sorted({server.kind for server in self.servers}))


def merged(declarations: Iterable[Declaration]) -> tuple[tuple[Resolved, ...], tuple[Server, ...]]:
    """Return the workloads, resolved, and backing services of several steps, each once, sorted by name.

    A backing service that a workload refers to is included even if no step lists it. Raises `PermanentError` for a
    probe of a port, or a reference to a configuration, that a workload does not declare.
    """
    steps = tuple(declarations)
    declared = {workload.name: workload for step in steps for workload in step.workloads}
    workloads = tuple(resolve(declared[name]) for name in sorted(declared))
    return workloads, backing_services((server for step in steps for server in step.servers), workloads)


def manifests(bundle: Bundle, slots: Slots | None = None) -> Manifests:
    """Return all objects of a bundle; with `slots`, what these leave open is a `Slot` whose default is the bundle's.

    Raises `PermanentError` for a reference to something that no step declares, and for a name that Kubernetes rejects.
    """
    release, production = _release(bundle, slots), _resolved(bundle)
    namespace, *shared = foundation(release)
    found = {"00-namespace": [namespace], "05-foundation": shared}  # people create the Secrets between the two
    found |= {"10-production": _production(release, production)} if production else {}
    found |= {f"20-{kind}": server_objects(release, kind) for kind in bundle.server_kinds()}
    databases = sorted({each.database for each in bundle.servers if each.kind == "postgres" and each.database})
    jobs = [item for database in databases for item in database_objects(release, database)]
    found |= {"25-databases": jobs} if jobs else {}
    found |= {_component(each): _workload(release, production, each) for each in bundle.workloads}
    return _without_idle_policies(found)


def with_host(bundle: Bundle, slots: Slots) -> Manifests:
    """Return the objects that a bundle has in addition where its entry has a host name: an Ingress."""
    host = Slot("", slots.host)
    release = replace(_release(bundle, slots), values=Values(entry=Entry.model_construct(host=host)))
    found = {_component(each): entry_objects(release, Component(each.name, "service")) for each in bundle.workloads}
    return {name: items for name, items in found.items() if items}


def with_monitoring(bundle: Bundle, slots: Slots) -> Manifests:
    """Return the objects that a bundle has in addition where the cluster runs the Prometheus operator."""
    production = _resolved(bundle)
    if production is None:
        return {}
    release = replace(_release(bundle, slots), values=Values(monitoring="prometheus-operator"))
    return {"10-production": monitoring_objects(release, Component(PRODUCTION, "platform"), production)}


def every(found: Manifests) -> list[Object]:
    """Return the objects of all components, in order."""
    return list(chain.from_iterable(found.values()))


def required_secrets(bundle: Bundle) -> tuple[RequiredSecret, ...]:
    """Return the keys of Secrets that the objects refer to, sorted, with the shape of their texts but no value."""
    return secrets.required_secrets(_release(bundle), bundle.workloads, _backing(bundle))


def replicas(bundle: Bundle) -> Mapping[str, int]:
    """Return how many replicas each workload has at least."""
    production, workloads = bundle.production, (each.workload for each in bundle.workloads)
    return {each.name: replica_range(production, each)[0] if production else each.replicas for each in workloads}


def entry(bundle: Bundle) -> tuple[str, int] | None:
    """Return the workload and the port at which people reach the platform; None without a gateway."""
    release = _release(bundle)
    found = (each for each in bundle.workloads if is_entry(release, each.name, HTTP))
    return next(((each.name, release.numbers[each.name][HTTP]) for each in found), None)


def _release(bundle: Bundle, slots: Slots | None = None) -> Release:
    closed = Release(
        name=bundle.name,
        namespace=bundle.namespace,
        built={context: bundle.image(context) for context in bundle.contexts()},
        official={name: image.qualified for name, image in IMAGES.items() if name != BASE},
        numbers={each.name: each.ports for each in bundle.workloads},
        values=_SMALL if bundle.small else Values(),
        pull=bundle.pull,
    )
    if slots is None:
        return closed

    def opened(images: Mapping[str, str]) -> dict[str, str]:
        return {name: Slot(reference, slots.image(name)) for name, reference in images.items()}

    return replace(
        closed,
        namespace=Slot(closed.namespace, slots.namespace),
        built=opened(closed.built),
        official=opened(closed.official),
        pull=Slot(closed.pull, slots.pull),
        host=Slot("", slots.host),
    )


def _component(resolved: Resolved) -> str:
    return f"30-{resolved.name}"


def _resolved(bundle: Bundle) -> ResolvedProduction | None:
    declared = bundle.production
    return ResolvedProduction(declared, bundle.workloads, _backing(bundle)) if declared else None


def _backing(bundle: Bundle) -> tuple[Server, ...]:
    return backing_services(bundle.servers, bundle.workloads)


def _production(release: Release, production: ResolvedProduction) -> list[Object]:
    """Return the objects without autoscalers that have no choice: the number of replicas is in the manifest then."""
    made = production_objects(release, production)
    return [item for item in made if production.declared.automatic or item["kind"] != "HorizontalPodAutoscaler"]


def _workload(release: Release, production: ResolvedProduction | None, resolved: Resolved) -> list[Object]:
    *others, controller = workload_objects(release, resolved, "")
    if production and resolved.name in production.declared.scaled:
        least, _ = replica_range(production.declared, resolved.workload)
        controller["spec"]["replicas"] = least
        if production.declared.automatic:
            del controller["spec"]["replicas"]  # the autoscaler's
    return [*others, *migration_objects(release, resolved), controller]


def _without_idle_policies(found: Manifests) -> Manifests:
    """Return the objects without policies for pods that this platform lacks, e.g. those of a gateway."""
    templates = (item["spec"].get("template") for item in every(found) if "spec" in item)
    pods = [template["metadata"]["labels"].items() for template in templates if template]

    def applies(item: Object) -> bool:
        if item["kind"] != "NetworkPolicy":
            return True
        picked = item["spec"]["podSelector"].get("matchLabels", {}).items()
        return any(picked <= labels for labels in pods)

    return {name: [item for item in items if applies(item)] for name, items in found.items()}
