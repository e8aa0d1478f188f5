"""Reconciling what runs: Jobs, and controllers with their pods. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from stepflow.targets.actions import Action, Verb, summed
from stepflow.targets.kubernetes.api.kinds import Object, key
from stepflow.targets.kubernetes.converge.compare import (
    SALT,
    SCALED,
    Change,
    compared,
    counted,
    foreign,
    is_fixed,
    leaving,
    plan_name,
    stamped,
)
from stepflow.targets.kubernetes.converge.desired import Stage
from stepflow.targets.kubernetes.converge.mounts import marks
from stepflow.targets.kubernetes.converge.rollback import proven, rolls_back
from stepflow.targets.kubernetes.converge.where import Where, unbuilt
from stepflow.targets.kubernetes.manifests.names import DIGEST, REPLICAS
from stepflow.targets.kubernetes.state.diagnose import condition, of_pod
from stepflow.targets.kubernetes.state.observed import autoscaled, state_of
from stepflow.targets.kubernetes.state.progress import rollout_status
from stepflow.targets.kubernetes.state.snapshot import ClusterState, annotation, of_job, owner_of

ANOTHER_IMAGE = "another image"
_DECLARED = f"metadata.annotations[{REPLICAS}]"
"""The line about the number of copies that is declared, which a controller's own says, too."""
_RESTARTED = frozenset({"ended", "image", "unmade"})
"""Reasons for which the cluster waits ever longer before it tries again: a run does not wait with it."""
_HASH = re.compile(r"-[0-9a-f]{8}$")
_FOLLOWS = re.compile(r"\[stepflow\.dev/digest\]|\.containers\[[^]]+\]\.image ")
"""Lines about what another digest changes in any case."""


def job(stage: Stage, every: Sequence[Stage], seen: ClusterState) -> Iterator[Action]:
    """Compare a Job. It is run again when it failed, or when the data that it works on are newer than it."""
    name, owner, desired = f"Job/{_HASH.sub('', stage.main['metadata']['name'])}", stage.owner, stage.main
    before = [each for each in seen.of("Job", owner) if _HASH.sub("", each["metadata"]["name"]) == name[4:]]
    if unbuilt(desired):
        when = ANOTHER_IMAGE if before else ""
        yield Action("create", name, "its image is yet to be built", owner, when, subject=Change())
        return
    if key(desired) in seen.foreign:
        raise foreign(desired, unlabelled=key(desired) in seen.unlabelled)
    made, there = stamped(desired, seen.secrets.get(SALT, "")), seen.named("Job", desired["metadata"]["name"])
    if there is None:
        cause = "it has another image or command" if before else "it does not exist"
        yield Action("create", name, cause, owner, subject=Change(made))
    elif leaving(there):
        yield Action("create", name, "it is being removed", owner, subject=Change(made, there))
    elif broken := condition(there, "Failed"):
        said = str(broken.get("message") or broken.get("reason"))
        yield Action("replace", name, f"it failed: {said}", owner, subject=Change(made, there))
    elif _made(there) < _since(stage, seen):
        cause = "it is older than the data that it works on"
        yield Action("replace", name, cause, owner, subject=Change(made, there))
    elif not condition(there, "Complete"):
        yield Action("wait", name, "it is not completed yet", owner, subject=Change(made, there))
    elif lost := _lost(stage, every, seen):
        change = Change(made, there)
        yield Action("replace", name, "it worked on other data", owner, f"`{lost}` gets new data", subject=change)
    else:
        yield Action("keep", name, "completed", owner)


def controller(stage: Stage, every: Sequence[Stage], seen: ClusterState, where: Where) -> Iterator[Action]:
    """Compare a Deployment or StatefulSet, then what it runs."""
    desired, owner = stage.main, stage.owner
    name, mounts = plan_name(desired, where.who.id), marks(desired, every, seen)
    made, there, found = compared(desired, seen)
    scaled = desired["kind"] == SCALED and not autoscaled(desired, seen)
    copies = int(desired["spec"]["replicas"]) if scaled else None
    late = [f"its pods started with another {', '.join(f'`{each}`' for each in mounts.late)}"] if mounts.late else []
    made = mounts.on(made)
    if there is None or leaving(there):
        cause = ["it is being removed"] if there else ["it does not exist", *late]
        left = desired["kind"] == "StatefulSet" and any(not of_job(pod) for pod in seen.of("Pod", owner))
        yield _saying(Action("create", name, summed(cause), owner, subject=Change(made, there, copies)), unstick=left)
        return
    has = int(there["spec"].get("replicas", 1))
    if desired["kind"] == SCALED and not scaled and has == 0:  # which stops its autoscaler
        copies = int(desired["spec"]["replicas"])
    another = bool(late) or any(line.startswith("spec.template.") for line in found)
    more = has < (copies or 0) if desired["kind"] == SCALED else has < int(desired["spec"]["replicas"])
    if annotation(made, DIGEST) != annotation(there, DIGEST):
        found = ("what it is made from changed", *(line for line in found if not _FOLLOWS.search(line)))
    count = [] if copies in {None, has} else [f"it has {counted(has)} instead of {copies}"]
    others = [line for line in found if not (count and line.startswith(_DECLARED))]
    change = Change(made if found or late else None, there, copies if count else None, starts=another or more)
    if others:
        verb: Verb = "replace" if is_fixed(there, others) else "change"
        action = Action(verb, name, summed([*others, *count, *late]), owner, subject=change)
    elif count:
        action = Action("scale", name, summed([*count, *late]), owner, subject=change)
    elif late:
        action = Action("restart", name, late[0], owner, subject=change)
    else:
        action = _pods(stage, every, there, seen, where)
    yield action if action.verb == "keep" else _with_rest(action, there, seen, another=another)


def _with_rest(action: Action, there: Object, seen: ClusterState, *, another: bool) -> Action:
    """Return an action with what it does besides; `another`: its pods get another template than those there are."""
    earlier = rolls_back(there, seen, another=another)
    stuck = earlier or another or bool(rollout_status(there, seen).outdated)
    return _saying(action, unstick=stuck and there["kind"] == "StatefulSet", earlier=earlier)


def _saying(action: Action, *, unstick: bool = False, earlier: bool = False) -> Action:
    """Return an action that says what it does besides."""
    then = ["delete pods of other versions that are not ready"] * unstick
    then += ["roll back if it does not become ready"] * earlier
    return replace(action, then=", ".join(then), subject=replace(action.subject, unstick=unstick, earlier=earlier))


def _pods(stage: Stage, every: Sequence[Stage], there: Object, seen: ClusterState, where: Where) -> Action:
    """Compare what a controller runs that is itself as desired."""
    name, owner, since = plan_name(there, where.who.id), stage.owner, _since(stage, seen)
    mine = [pod for pod in seen.of("Pod", owner) if not leaving(pod) and not of_job(pod)]
    older = [pod for pod in mine if _made(pod) < since]
    ended = [(pod, why) for pod in mine if (why := of_pod(pod, seen, stage.unit.deadline)) and why.kind in _RESTARTED]
    state, detail = state_of(there, seen)
    if older:
        cause = f"`{older[0]['metadata']['name']}` is older than the data that it works on"
        return Action("restart", name, cause, owner, subject=Change(there, there, pods=tuple(older)))
    if ended:
        pod, why = ended[0]
        cause = f"`{pod['metadata']['name']}` {why.words}"
        return Action("restart", name, cause, owner, subject=Change(there, there, pods=tuple(one for one, _ in ended)))
    if lost := _lost(stage, every, seen):
        cause, when = "it was started with other data", f"`{lost}` gets new data"
        return Action("restart", name, cause, owner, when, subject=Change(there, there))
    if state not in {"ready", "stopped"}:
        return Action("wait", name, detail, owner, subject=Change(there, there))
    if not proven(there, seen):
        return Action("wait", name, "it is ready, which is not recorded yet", owner, subject=Change(there, there))
    return Action("keep", name, "unchanged and ready", owner)


def _since(stage: Stage, seen: ClusterState) -> str:
    """Return since when the data that a stage works on exist: what was done before, was done to others.

    Of a server with several volumes the oldest counts: it has what the others get from it.
    """
    claims = seen.of("PersistentVolumeClaim")
    made = {need: [_made(each) for each in claims if owner_of(each) == need] for need in stage.servers}
    return max((min(times) for times in made.values() if times), default="")


def _lost(stage: Stage, every: Sequence[Stage], seen: ClusterState) -> str:
    """Name a server that is to keep data and has no volume now."""
    mains = [each.main for each in every if each.part == "controller" and each.owner in stage.servers]
    there = {owner_of(each) for each in seen.of("PersistentVolumeClaim")}
    kept = (owner_of(each) for each in mains if "volumeClaimTemplates" in each["spec"])
    return next((each for each in kept if each not in there), "")


def _made(each: Object) -> str:
    return str(each["metadata"]["creationTimestamp"])
