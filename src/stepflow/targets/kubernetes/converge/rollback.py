"""Rollback: a version that does not become ready is replaced by the template that was ready last."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from stepflow.errors import StepflowError
from stepflow.targets.contract import Progress
from stepflow.targets.converge import Say
from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.converge.compare import annotated, stamped
from stepflow.targets.kubernetes.converge.rollout import NotReadyError, rolled_out
from stepflow.targets.kubernetes.manifests.names import DIGEST, MEANING, OURS, OWNER
from stepflow.targets.kubernetes.state.progress import HASHES, REVISION, newest
from stepflow.targets.kubernetes.state.session import ClusterSession
from stepflow.targets.kubernetes.state.snapshot import ClusterState, annotation, owned_by, owner_of

PROVEN = "stepflow.dev/proven"
"""Annotation of what keeps a template (a ReplicaSet, a ControllerRevision): its revision when its pods were all ready.

A template that is taken up again gets another revision, and has to prove itself again.
"""
_KEEPERS = {"Deployment": "ReplicaSet", "StatefulSet": "ControllerRevision"}


def proven(controller: Object, seen: ClusterState) -> bool:
    """Return whether it is recorded that the newest template of a controller got ready."""
    now = newest(controller, seen)
    return any(_template(each) == now and _is_proven(each) for each in _kept(controller, seen))


def rolls_back(controller: Object, seen: ClusterState, *, another: bool) -> bool:
    """Return whether there is a version to roll back to; `another`: the controller gets another template than now."""
    kept = _kept(controller, seen)
    if another:
        return any(annotation(each, PROVEN) for each in kept)
    return earlier(kept, newest(controller, seen)) is not None


def _kept(controller: Object, seen: ClusterState) -> list[Object]:
    return [each for each in seen.of(_KEEPERS[controller["kind"]]) if owned_by(each, controller)]


async def prove(session: ClusterSession, controller: Object, template: str) -> None:
    """Record that a template got ready; not on the controller, which would take that for a change to see to."""
    kept = next((each for each in await _keepers(session, controller) if _template(each) == template), None)
    if kept is not None and not _is_proven(kept):
        await session.client.patch(kept, {"metadata": {"annotations": {PROVEN: str(_revision(kept))}}})


async def roll_back(
    session: ClusterSession, desired: Object, error: NotReadyError, deadline: float, say: Say
) -> NotReadyError:
    """Restore the template that was ready last; return the error with the result of that."""
    name = desired["metadata"]["name"]
    seen = await session.running.next()
    there = seen.named(desired["kind"], name)
    before = earlier(await _keepers(session, there), newest(there, seen)) if there else None
    if before is None:
        return not_rolled_back(name, error)
    say(Progress(f"`{name}`", "rolling back to the last version that was ready"))
    try:
        await session.client.apply(gone_back(desired, before), force=True)
        await rolled_out(session, desired["kind"], name, deadline, say, unstick=desired["kind"] == "StatefulSet")
    except StepflowError as worse:
        said = f"`{name}` was rolled back to the last version that was ready, which does not become ready either"
        return NotReadyError(f"{error.message}\n{said}: {worse.message}", hint=error.hint)
    said = f"`{name}` was rolled back: the last version that was ready runs again"
    return NotReadyError(f"{error.message}\n{said}", hint=error.hint)


def not_rolled_back(name: str, error: NotReadyError) -> NotReadyError:
    """Return the error of a version that stays, though it does not become ready."""
    said = f"not rolled back: this version of `{name}` was ready before, or there is no earlier one"
    return NotReadyError(f"{error.message}\n{said}", hint=error.hint)


def earlier(keepers: Sequence[Object], now: str) -> Object | None:
    """Return the template that was ready last before the present one (`now`).

    None where there was none, and where the present one was ready itself: then it is not at fault, and what the earlier
    one needs may be gone.
    """
    present = next((each for each in keepers if _template(each) == now), None)
    proven = [each for each in keepers if annotation(each, PROVEN) and each is not present]
    last = max(proven, key=_revision, default=None)
    if last is None or (present is not None and _is_proven(present)):
        return None
    found: Object = last["spec"] if last["kind"] == "ReplicaSet" else last["data"]["spec"]
    template: Object = copy.deepcopy(found["template"])
    return template


def gone_back(desired: Object, template: Object) -> Object:
    """Return a controller with an earlier template: it means that one again, and says what that was made from."""
    bare = {name: value for name, value in template.items() if not name.startswith("$")}
    meta = {name: value for name, value in bare["metadata"].items() if name in {"labels", "annotations"}}
    meta["labels"] = {name: value for name, value in meta["labels"].items() if name not in HASHES.values()}
    back = stamped({**desired, "spec": {**desired["spec"], "template": {**bare, "metadata": meta}}}, "")
    digest = str((meta.get("annotations") or {}).get(DIGEST, ""))
    return annotated(back, {DIGEST: digest, MEANING: ""})


async def _keepers(session: ClusterSession, controller: Object) -> list[Object]:
    """Return what keeps the templates that a controller had."""
    labels = f"{OURS}={session.identity.id},{OWNER}={owner_of(controller)}"
    found = await session.client.list("apps/v1", _KEEPERS[controller["kind"]], session.namespace, labels)
    return [each for each in found if owned_by(each, controller)]


def _is_proven(keeper: Object) -> bool:
    return annotation(keeper, PROVEN) == str(_revision(keeper))


def _template(keeper: Object) -> str:
    if keeper["kind"] == "ControllerRevision":
        return str(keeper["metadata"]["name"])
    return str((keeper["metadata"].get("labels") or {}).get(HASHES["Deployment"], ""))


def _revision(keeper: Object) -> int:
    return int(keeper.get("revision") or annotation(keeper, REVISION) or 0)
