"""What a comparison needs besides what is desired and what is seen: the platform's site, and what its images are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stepflow.targets.contract import Desired, Site
from stepflow.targets.images import image
from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.converge.desired import Stage, stages
from stepflow.targets.kubernetes.manifests.model import Platform
from stepflow.targets.kubernetes.manifests.names import DIGEST, HOST
from stepflow.targets.kubernetes.manifests.secrets import RequiredSecret, required_secrets, secret_objects
from stepflow.targets.kubernetes.options.valuesfile import values_of
from stepflow.targets.kubernetes.state.identity import Identity
from stepflow.targets.kubernetes.state.secrets import read_back
from stepflow.targets.kubernetes.state.snapshot import CONTROLLERS, ClusterState, annotation, owner_of, ports_in
from stepflow.targets.references import server_files
from stepflow.targets.resolved import Numbers, resolution
from stepflow.workload import Declaration

_UNBUILT = ":to-be-built"
_UNKNOWN = "yet to be generated"


@dataclass(frozen=True, slots=True)
class Where:
    """One platform, and the references of images that were provided in this run."""

    site: Site
    who: Identity
    namespace: str
    built: Mapping[str, str] = field(default_factory=dict)  # by folder of the rendered tree
    official: Mapping[str, str] = field(default_factory=dict)  # by name of the server or program

    @property
    def bare(self) -> Platform:
        """The platform as far as it is known whatever is declared."""
        return Platform(self.site.platform, self.namespace, {}, {}, {}, self.who.id)


class Stages:
    """The stages of what a step desires; worked out again only when what they are made from changed."""

    def __init__(self, desired: Desired) -> None:
        """Raise `PermanentError` for a declaration that cannot be carried out."""
        self._desired = desired
        self._numbers = resolution(desired).numbers
        self._platform: Platform | None = None
        self._required: tuple[RequiredSecret, ...] = ()
        self._texts: Mapping[str, str] = {}
        self._made: tuple[Stage, ...] = ()

    def of(self, seen: ClusterState, where: Where) -> tuple[Stage, ...]:
        """Return the stages, with the secrets that are known. Raises `PermanentError` as above."""
        required = self.secrets(seen, where)
        texts = {**read_back(seen, required), **seen.secrets}
        if not self._made or texts != self._texts:
            platform, declaration, digests = self._platform, self._desired.declaration, self._desired.digests
            assert platform is not None
            secrets = secret_objects(platform, required, lambda name: texts.get(name, _UNKNOWN))
            self._texts, self._made = texts, stages(platform, declaration, digests, secrets)
        return self._made

    def secrets(self, seen: ClusterState, where: Where) -> tuple[RequiredSecret, ...]:
        """Return the secrets that the step needs."""
        platform = platform_of(self._desired, self._numbers, seen, where)
        if platform != self._platform:
            required = required_secrets(platform, self._desired.declaration)
            self._platform, self._required, self._made = platform, required, ()
        return self._required


def platform_of(desired: Desired, numbers: Numbers, seen: ClusterState, where: Where) -> Platform:
    """Return what all objects share; an image that is yet to be built has a reference that says so."""
    running = _running(seen)
    return Platform(
        name=where.site.platform,
        namespace=where.namespace,
        built=_built(desired, running, where),
        official={name: _official(name, running, where) for name in names_of(desired.declaration)},
        numbers={**ports_in(seen.of("Service")), **numbers},
        id=where.who.id,
        values=values_of(where.site.options),
    )


def names_of(declaration: Declaration) -> tuple[str, ...]:
    """Name the servers and programs whose official images a declaration needs."""
    names: set[str] = {each.kind for each in declaration.servers}
    names |= {file.kind for each in declaration.workloads for file in server_files(each)}
    return tuple(sorted(names | {str(each.command[0]) for each in declaration.workloads if not each.context}))


def unbuilt(each: Object) -> bool:
    """Return whether the image of a Job or controller is yet to be built."""
    return image_of(each).endswith(_UNBUILT)


def image_of(each: Object) -> str:
    """Return the reference of the image of a Job or controller."""
    return str(each["spec"]["template"]["spec"]["containers"][0]["image"])


def _running(seen: ClusterState) -> Mapping[str, tuple[str, str]]:
    """Return image and digest of each controller, by owner."""
    return {owner_of(each): (image_of(each), annotation(each, DIGEST)) for each in seen.every(CONTROLLERS)}


def _built(desired: Desired, running: Mapping[str, tuple[str, str]], where: Where) -> Mapping[str, str]:
    """Return the references of folders: as they run where they are made from the same, unless built in this run."""
    registry = where.site.options.get("registry", "").rstrip("/")
    repository = f"{registry}/{where.who.platform}" if registry else f"{HOST}/{where.who.prefix}"
    found: dict[str, str] = {}
    for each in desired.declaration.workloads:
        if not each.context:
            continue
        image, digest = running.get(each.name, ("", ""))
        name = f"{repository}/{each.context}".lower()
        kept = digest == desired.digests.get(each.name, "") and image.startswith((f"{name}:", f"{name}@"))
        one = where.built.get(each.context) or (image if kept else f"{name}{_UNBUILT}")
        if not found.get(each.context, "").endswith(_UNBUILT):  # several may be made from one folder
            found[each.context] = one
    return found


def _official(name: str, running: Mapping[str, tuple[str, str]], where: Where) -> str:
    """Return the reference that pods have, by tag or by digest, where it still is the image that is desired."""
    desired = image(name, where.site.options)
    good = {desired.qualified, desired.qualified.partition("@")[0]}
    kept = (found for found, _ in running.values() if found in good)
    return next(kept, "") or where.official.get(name, desired.qualified)
