"""What a run would change in the cluster: every object of it applied, but for the last step (server-side dry run)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from stepflow.targets.images import image
from stepflow.targets.kubernetes.compare import same, stamped
from stepflow.targets.kubernetes.differences import differences
from stepflow.targets.kubernetes.drift import cleared
from stepflow.targets.kubernetes.errors import RefusedError
from stepflow.targets.kubernetes.images import HOST, names_of
from stepflow.targets.kubernetes.kinds import Object, title
from stepflow.targets.kubernetes.make import SALT, is_ours
from stepflow.targets.kubernetes.manifests.model import Platform
from stepflow.targets.kubernetes.manifests.names import DIGEST
from stepflow.targets.kubernetes.place import Place
from stepflow.targets.kubernetes.sight import ALL, Sight, annotation, look, owner_of, ports_in
from stepflow.targets.kubernetes.valuesfile import values_of
from stepflow.targets.kubernetes.wanted import everything, numbers
from stepflow.targets.secretfiles import secret_text
from stepflow.workload import Declaration

UNBUILT = "to-be-built"
"""Tag of an image in a preview: what it will be is known when it is built."""
_AT_ONCE = 8  # requests


async def preview(place: Place, declaration: Declaration, digests: Mapping[str, str]) -> tuple[str, ...]:
    """Give what a run would change, a line for each field of each object; secrets are not looked at.

    What the cluster would refuse is said in its words. Objects that are no longer wanted, and Jobs, which are made
    for each version, are not among them.
    """
    sight = await look(place.client, place.namespace, place.identity.id, ALL)
    platform = _platform(place, declaration, digests, sight)
    namespace, *wanted = (each for each in everything(platform, declaration, digests) if each["kind"] != "Job")
    there = await place.client.get("v1", "Namespace", place.namespace)
    if there is None:
        return (f"{title(namespace)}: create, and all that is in it",)
    if is_ours(place, there):
        sight = Sight({**sight.objects, "Namespace": [there]})
        wanted = [namespace, *wanted]
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Object) -> tuple[str, ...]:
        async with turns:
            return await _one(place, each, sight)

    found = await asyncio.gather(*(one(each) for each in wanted))
    return tuple(line for lines in found for line in lines)


async def _one(place: Place, wanted: Object, sight: Sight) -> tuple[str, ...]:
    made = stamped(wanted, secret_text(place.identity.secrets, SALT))
    there = sight.named(wanted["kind"], wanted["metadata"]["name"])
    if there is not None and same(made, there):
        return ()
    try:
        after = await place.client.apply(made, dry_run=True, force=there is not None)
    except RefusedError as error:
        return (f"{title(wanted)}: the cluster would refuse it: {error.text}",)
    return differences(there, cleared(made, after))


def _platform(place: Place, declaration: Declaration, digests: Mapping[str, str], sight: Sight) -> Platform:
    """Give what all objects share; images as they are where they stay what they are, for nothing is built here."""
    running = _running(sight)
    return Platform(
        name=place.site.platform,
        namespace=place.namespace,
        built=_built(place, declaration, digests, running),
        official={name: _official(place, name, [one for one, _ in running.values()]) for name in names_of(declaration)},
        numbers={**ports_in(sight.of("Service")), **numbers(declaration.workloads)},
        id=place.identity.id,
        values=values_of(place.site.options),
    )


def _running(sight: Sight) -> Mapping[str, tuple[str, str]]:
    """Give image and digest of each controller's first container, by owner."""
    return {
        owner_of(each): (each["spec"]["template"]["spec"]["containers"][0]["image"], annotation(each, DIGEST))
        for each in sight.every(("Deployment", "StatefulSet"))
    }


def _built(
    place: Place, declaration: Declaration, digests: Mapping[str, str], running: Mapping[str, tuple[str, str]]
) -> Mapping[str, str]:
    registry = place.site.options.get("registry", "").rstrip("/")
    folder = f"{registry}/{place.identity.platform}" if registry else f"{HOST}/{place.identity.prefix}"
    found = {}
    for each in declaration.workloads:
        if each.context:
            there, digest = running.get(each.name, ("", ""))
            kept = there and digest == digests.get(each.name) and there.startswith(f"{folder}/{each.context}")
            found[each.context] = there if kept else f"{folder}/{each.context}:{UNBUILT}"
    return found


def _official(place: Place, name: str, running: Sequence[str]) -> str:
    """Give the reference that a pod has, by tag or by digest, where it still is the image that is wanted."""
    wanted = image(name, place.site.options)
    base = wanted.qualified.partition("@")[0]
    return next((one for one in running if one in {base, wanted.qualified}), wanted.qualified)
