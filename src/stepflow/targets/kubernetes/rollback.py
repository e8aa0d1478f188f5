"""Going back: what does not get ready gives way to the template that was ready last."""

from __future__ import annotations

import copy
from collections.abc import Callable

from stepflow.errors import StepflowError
from stepflow.targets import Progress
from stepflow.targets.kubernetes.compare import MEANING, annotated, stamped
from stepflow.targets.kubernetes.kinds import Object
from stepflow.targets.kubernetes.manifests.names import DIGEST
from stepflow.targets.kubernetes.place import Place
from stepflow.targets.kubernetes.rollout import HASHES, NotReadyError, newest, rolled_out
from stepflow.targets.kubernetes.sight import Sight, annotation, named, owned_by, owner_of

PROVEN = "stepflow.dev/proven"
"""Annotation of a controller: what its pods are labelled with whose template was ready last."""


async def prove(place: Place, controller: Object, template: str) -> None:
    """Record that a template got ready."""
    if template and annotation(controller, PROVEN) != template:
        await place.client.patch(controller, {"metadata": {"annotations": {PROVEN: template}}})


async def roll_back(
    place: Place, wanted: Object, error: NotReadyError, deadline: float, say: Callable[[Progress], None]
) -> NotReadyError:
    """Have the template again that was ready last; give the error with what became of that."""
    name = wanted["metadata"]["name"]
    sight = await place.watch.next()
    there = sight.named(wanted["kind"], name)
    before = await earlier(place, there, sight) if there is not None else None
    if there is None or before is None:
        said = f"there is no earlier version of `{name}` to go back to"
        return NotReadyError(f"{error.message}\n{said}", hint=error.hint)
    say(Progress(f"`{name}`", "goes back to the version that was ready before"))
    try:
        await place.client.apply(gone_back(wanted, before), force=True)
        await rolled_out(place, wanted["kind"], name, deadline, say)
    except StepflowError as worse:
        said = f"`{name}` was rolled back to the version that was ready before, which does not get ready either"
        return NotReadyError(f"{error.message}\n{said}: {worse.message}", hint=error.hint)
    said = f"`{name}` was rolled back: the version that was ready before runs again"
    return NotReadyError(f"{error.message}\n{said}", hint=error.hint)


async def earlier(place: Place, controller: Object, sight: Sight) -> Object | None:
    """Give the template that was ready last; None where that is the present one, or there was none."""
    proven = annotation(controller, PROVEN)
    if not proven or proven == newest(controller, sight):
        return None
    if controller["kind"] == "Deployment":
        made = [each for each in sight.of("ReplicaSet", owner_of(controller)) if owned_by(each, controller)]
        label = HASHES["Deployment"]
        found = next((each for each in made if each["metadata"]["labels"].get(label) == proven), None)
        return copy.deepcopy(found["spec"]["template"]) if found else None
    kept = await place.client.list("apps/v1", "ControllerRevision", place.namespace)
    revision = named(kept, proven)
    return copy.deepcopy(revision["data"]["spec"]["template"]) if revision else None


def gone_back(wanted: Object, template: Object) -> Object:
    """Give a controller with an earlier template: it means that one again, and says what that was made from."""
    bare = {name: value for name, value in template.items() if not name.startswith("$")}
    meta = {name: value for name, value in bare["metadata"].items() if name in {"labels", "annotations"}}
    meta["labels"] = {name: value for name, value in meta["labels"].items() if name not in HASHES.values()}
    back = stamped({**wanted, "spec": {**wanted["spec"], "template": {**bare, "metadata": meta}}}, "")
    digest = str((meta.get("annotations") or {}).get(DIGEST, ""))
    return annotated(back, {DIGEST: digest, MEANING: ""})
