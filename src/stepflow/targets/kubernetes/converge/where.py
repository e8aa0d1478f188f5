"""What a comparison needs besides what is desired and what is seen: the platform's site, and what its images are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stepflow.targets.contract import Site
from stepflow.targets.images import image
from stepflow.targets.kubernetes.api.kinds import Object, key
from stepflow.targets.kubernetes.converge.desired import Stage, stages
from stepflow.targets.kubernetes.manifests.model import Release
from stepflow.targets.kubernetes.manifests.names import DIGEST, HOST
from stepflow.targets.kubernetes.manifests.secrets import RequiredSecret, required_secrets, secret_objects
from stepflow.targets.kubernetes.options.valuesfile import values_of
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.targets.kubernetes.state.secrets import read_back
from stepflow.targets.kubernetes.state.snapshot import CONTROLLERS, ClusterState, annotation, owner_of, ports_in
from stepflow.targets.resolution import Resolution

_UNBUILT = ":to-be-built"
_UNKNOWN = "yet to be generated"


@dataclass(frozen=True, slots=True)
class Where:
    """One platform, and the references of images that were provided in this run."""

    site: Site
    who: KubernetesIdentity
    namespace: str
    built: Mapping[str, str] = field(default_factory=dict)  # by folder of the rendered tree
    official: Mapping[str, str] = field(default_factory=dict)  # by name of the server or program


class Stages:
    """The stages of what a step desires; worked out again only when what they are made from changed."""

    def __init__(self, resolution: Resolution) -> None:
        self._resolution = resolution
        self._release: Release | None = None
        self._required: tuple[RequiredSecret, ...] = ()
        self._texts: Mapping[str, str] = {}
        self._made: tuple[Stage, ...] = ()

    def of(self, seen: ClusterState, where: Where) -> tuple[Stage, ...]:
        """Return the stages, with the secrets that are known. Raises `PermanentError` as `stages` does."""
        required = self.secrets(seen, where)
        texts = {**read_back(seen, required), **seen.secrets}
        if not self._made or texts != self._texts:
            release = self._release
            assert release is not None
            secrets = secret_objects(release, required, lambda name: texts.get(name, _UNKNOWN))
            self._texts, self._made = texts, stages(release, self._resolution, secrets)
        return self._made

    def adopted(self, seen: ClusterState, where: Where) -> ClusterState:
        """Return what is seen with what is desired and has lost its label."""
        if not seen.unlabelled:
            return seen
        return seen.adopting({key(each) for stage in self.of(seen, where) for each in stage.objects})

    def secrets(self, seen: ClusterState, where: Where) -> tuple[RequiredSecret, ...]:
        """Return the secrets that the step needs."""
        release = release_of(self._resolution, seen, where)
        if release != self._release:
            required = required_secrets(release, self._resolution.workloads, self._resolution.backing)
            self._release, self._required, self._made = release, required, ()
        return self._required


def release_of(resolution: Resolution, seen: ClusterState, where: Where) -> Release:
    """Return what all objects share; an image that is yet to be built has a reference that says so."""
    running = _running(seen)
    return Release(
        name=where.site.platform,
        namespace=where.namespace,
        built=_built(resolution, running, where),
        official={name: _official(name, running, where) for name in names_of(resolution)},
        numbers={**ports_in(seen.of("Service")), **resolution.numbers},
        id=where.who.id,
        values=values_of(where.site.options),
    )


def names_of(resolution: Resolution) -> tuple[str, ...]:
    """Name the servers and programs whose official images are needed."""
    programs = {each.program for each in resolution.workloads if not each.workload.context}
    return tuple(sorted({*resolution.servers, *programs}))


def unbuilt(each: Object) -> bool:
    """Return whether the image of a Job or controller is yet to be built."""
    return image_of(each).endswith(_UNBUILT)


def image_of(each: Object) -> str:
    """Return the reference of the image of a Job or controller."""
    return str(each["spec"]["template"]["spec"]["containers"][0]["image"])


def _running(seen: ClusterState) -> Mapping[str, tuple[str, str]]:
    """Return image and digest of each controller, by owner."""
    return {owner_of(each): (image_of(each), annotation(each, DIGEST)) for each in seen.every(CONTROLLERS)}


def _built(resolution: Resolution, running: Mapping[str, tuple[str, str]], where: Where) -> Mapping[str, str]:
    """Return the references of folders: as they run where they are made from the same, unless built in this run."""
    registry = where.site.options.get("registry", "").rstrip("/")
    repository = f"{registry}/{where.who.platform}" if registry else f"{HOST}/{where.who.prefix}"
    found: dict[str, str] = {}
    for each in resolution.workloads:
        context = each.workload.context
        if not context:
            continue
        image, digest = running.get(each.name, ("", ""))
        name = f"{repository}/{context}".lower()
        kept = digest == resolution.digests.get(each.name, "") and image.startswith((f"{name}:", f"{name}@"))
        one = where.built.get(context) or (image if kept else f"{name}{_UNBUILT}")
        if not found.get(context, "").endswith(_UNBUILT):  # several may be made from one folder
            found[context] = one
    return found


def _official(name: str, running: Mapping[str, tuple[str, str]], where: Where) -> str:
    """Return the image reference that the pods already have, if it is still the desired image."""
    desired = image(name, where.site.options)
    good = {desired.qualified, desired.qualified.partition("@")[0]}
    kept = (found for found, _ in running.values() if found in good)
    return next(kept, "") or where.official.get(name, desired.qualified)
