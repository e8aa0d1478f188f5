"""Having objects as they are wanted: what is so already costs nothing, what is somebody else's is not touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from stepflow.errors import PermanentError
from stepflow.targets import Progress, discard
from stepflow.targets.kubernetes.compare import SCALED, same, stamped
from stepflow.targets.kubernetes.diagnose import condition
from stepflow.targets.kubernetes.drift import cleared, merge_patch
from stepflow.targets.kubernetes.errors import RefusedError
from stepflow.targets.kubernetes.kinds import Object, key, title
from stepflow.targets.kubernetes.manifests.names import MEANING, OURS
from stepflow.targets.kubernetes.place import Place
from stepflow.targets.kubernetes.sight import Sight
from stepflow.targets.secretfiles import secret_text

SALT = "label-salt"
"""The secret of the platform's own with which meanings are hashed."""
_COPIES = "stepflow-replicas"
"""Manages the number of copies, for as long as no autoscaler does."""
_ANEW = frozenset({"ConfigMap", "Job", "PriorityClass", "Secret"})
"""Kinds that are removed and made again where they cannot be changed: nothing that runs is lost with them."""
_FOREIGN = "stepflow touches only what carries its label: remove or rename it, or use another `--namespace`"
_STEP = 0.5  # seconds between two looks
_LONGEST = 240.0  # seconds that an object may take to be gone


async def have(place: Place, wanted: Object, sight: Sight) -> bool:
    """Have an object; tell whether anything had to be done. `sight` shows what is there of the platform.

    Raises `PermanentError` for a foreign object of its name.
    """
    made = stamped(wanted, secret_text(place.identity.secrets, SALT))
    there = sight.named(wanted["kind"], wanted["metadata"]["name"]) or await _met(place, wanted)
    if there is not None and there["metadata"].get("deletionTimestamp"):  # what is told to it now goes with it
        await _gone(place, there, discard)
        there = None
    if there is not None and same(made, there):
        return False
    try:
        after = await place.client.apply(made, force=there is not None)
    except RefusedError as error:
        if there is None or not error.fixed:
            raise
        await _anew(place, made, there, error)
        return True
    if (clear := cleared(made, after)) != after:  # what someone added is theirs, and stays when ours is applied
        await place.client.patch(after, merge_patch(after, clear))
    return True


async def have_all(place: Place, wanted: Iterable[Object], sight: Sight) -> None:
    """Have several objects that do not wait for each other."""
    await asyncio.gather(*(have(place, each, sight) for each in wanted))


async def have_copies(place: Place, wanted: Object, sight: Sight) -> None:
    """Have so many copies as are declared, unless an autoscaler decides on their number."""
    name = wanted["metadata"]["name"]
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in sight.of("HorizontalPodAutoscaler")}
    if wanted["kind"] != SCALED or name in scaled:
        return
    there = sight.named(SCALED, name)
    count = wanted["spec"]["replicas"]
    if there is not None and there["spec"].get("replicas") == count:
        return
    await _copies(place, name, count)


async def have_at_least(place: Place, name: str, count: int) -> None:
    """Have so many copies of a Deployment or more."""
    there = await place.client.get("apps/v1", SCALED, name, place.namespace)
    if there is not None and there["spec"].get("replicas", 1) < count:
        await _copies(place, name, count)


async def _copies(place: Place, name: str, count: int) -> None:
    meta = {"name": name, "namespace": place.namespace}
    only = {"apiVersion": "apps/v1", "kind": SCALED, "metadata": meta, "spec": {"replicas": count}}
    await place.client.apply(only, force=True, manager=_COPIES)


async def have_job(place: Place, wanted: Object, sight: Sight, since: str) -> bool:
    """Have a Job, which is run again when it failed or when the data are newer (`since`) than it; tell whether it is
    to be waited for.
    """
    there = sight.named("Job", wanted["metadata"]["name"])
    if there is not None and (condition(there, "Failed") or str(there["metadata"]["creationTimestamp"]) < since):
        await vanish(place, there)
        there = None
    if there is not None and condition(there, "Complete"):
        return False
    if there is None:
        others = {kind: each for kind, each in sight.objects.items() if kind != "Job"}
        await have(place, wanted, Sight(others))
    return True


async def have_namespace(place: Place, wanted: Object, say: Callable[[Progress], None]) -> None:
    """Have the namespace. One that was there before is used when it was asked for, and left as it is.

    Raises `PermanentError` for another platform's.
    """
    name = wanted["metadata"]["name"]
    there = await place.client.get("v1", "Namespace", name)
    if there is not None and there["metadata"].get("deletionTimestamp"):
        await _gone(place, there, say)
        there = None
    made = stamped(wanted, secret_text(place.identity.secrets, SALT))
    whose = (there or {}).get("metadata", {}).get("labels", {}).get(OURS)
    if there is None or (is_ours(place, there) and not same(made, there)):
        await place.client.apply(made, force=there is not None)
    elif whose not in {None, place.identity.id}:
        raise PermanentError(f"the namespace `{name}` is another platform's", hint="name another one by `--namespace`")
    elif whose is None and name == place.identity.prefix:  # any other one was asked for, by this run or an earlier one
        raise PermanentError(f"there is a namespace `{name}` that is not stepflow's", hint=_FOREIGN)


def is_ours(place: Place, namespace: Object) -> bool:
    """Tell whether stepflow made a namespace: its label alone may have been put on a user's own."""
    meta = namespace["metadata"]
    made = meta["name"] == place.identity.prefix or MEANING in (meta.get("annotations") or {})
    return made and (meta.get("labels") or {}).get(OURS) == place.identity.id


async def vanish(place: Place, there: Object, say: Callable[[Progress], None] = discard) -> None:
    """Remove an object and wait until it is gone. Raises `PermanentError` when something holds it."""
    await place.client.delete(there)
    await _gone(place, there, say)


async def _gone(place: Place, there: Object, say: Callable[[Progress], None]) -> None:
    """Wait until an object that is being removed is gone, saying what holds it."""
    name, kind, said = there["metadata"]["name"], there["kind"], ""
    end = asyncio.get_running_loop().time() + _LONGEST
    while (left := await place.client.get(there["apiVersion"], kind, name, place.namespace)) is not None:
        if left["metadata"]["uid"] != there["metadata"]["uid"]:
            return
        leaving = _leaving(left)
        if asyncio.get_running_loop().time() > end:
            hint = f"`kubectl get {kind.lower()} {name} -o yaml` says what holds it: a finalizer, an API that is down"
            raise PermanentError(f"the {title(there)} is still there after {_LONGEST:g} s: {leaving}", hint=hint)
        if leaving != said:
            said = leaving
            say(Progress(f"{kind.lower()} `{name}`", said))
        await asyncio.sleep(_STEP)


async def _met(place: Place, wanted: Object) -> Object | None:
    """Give an object that was not seen among the platform's: another step has just made it, or it is a foreign one."""
    meta = wanted["metadata"]
    there = await place.client.get(wanted["apiVersion"], wanted["kind"], meta["name"], meta.get("namespace", ""))
    if there is None:
        return None
    if (there["metadata"].get("labels") or {}).get(OURS) != place.identity.id:
        raise PermanentError(f"there is a {title(wanted)} in the cluster that is not stepflow's", hint=_FOREIGN)
    return there


async def _anew(place: Place, made: Object, there: Object, error: RefusedError) -> None:
    """Make an object again that cannot be changed; of a StatefulSet, the pods and their data stay."""
    if made["kind"] == "StatefulSet":
        await place.client.delete(there, policy="Orphan")
        await _gone(place, there, discard)
    elif made["kind"] in _ANEW:
        await vanish(place, there)
    else:
        hint = f"`kubectl -n {place.namespace} delete {key(there).lower()}`, then `stepflow resume`"
        raise PermanentError(f"the {title(made)} cannot be changed: {error.text}", hint=hint) from error
    await place.client.apply(made)


def _leaving(there: Object) -> str:
    """Say what holds a namespace: first what failed, then what is left."""
    conditions = there.get("status", {}).get("conditions") or ()
    holding = [one for one in conditions if one["status"] == "True" and one["type"].startswith("Namespace")]
    held = [one.get("message", "") for one in sorted(holding, key=lambda one: "Remaining" in one["type"])]
    return f"it is being removed{f': {held[0]}' if held else ''}"
