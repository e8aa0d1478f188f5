"""Reconciling the desired state with the cluster: for each object an action, with its cause. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stepflow.errors import PermanentError
from stepflow.targets.actions import Action, summed
from stepflow.targets.contract import Desired
from stepflow.targets.kubernetes.api.kinds import Object, key
from stepflow.targets.kubernetes.converge.compare import (
    FOREIGN,
    SALT,
    Change,
    annotated,
    compared,
    counted,
    differing,
    is_fixed,
    leaving,
    plan_name,
    stamped,
)
from stepflow.targets.kubernetes.converge.desired import Stage
from stepflow.targets.kubernetes.converge.mounts import mounted_somewhere
from stepflow.targets.kubernetes.converge.running import ANOTHER_IMAGE, controller, job
from stepflow.targets.kubernetes.converge.where import Stages, Where, image_of, unbuilt
from stepflow.targets.kubernetes.manifests.names import OURS, PLATFORM, REMADE
from stepflow.targets.kubernetes.state.diagnose import reasons
from stepflow.targets.kubernetes.state.snapshot import ClusterState, annotation, made_for, owner_of
from stepflow.targets.resolution import resolution

KEPT = frozenset({"PersistentVolumeClaim", "Secret"})
"""Kinds that only go together with all data."""
_MADE_BY_OTHERS = frozenset({"ControllerRevision", "Event", "Pod", "ReplicaSet"})
_STARTS_PODS = frozenset({"create", "replace", "restart"})


def plan(desired: Desired, seen: ClusterState, where: Where) -> tuple[Action, ...]:
    """Compare everything that a step desires. Raises `PermanentError` for what is impossible and for foreign
    objects.
    """
    stages = Stages(resolution(desired))
    lasting = stages.adopted(seen.lasting, where)
    every = stages.of(lasting, where)
    return tuple(action for stage in every for action in reconcile(stage, every, lasting, where))


def reconcile(stage: Stage, every: Sequence[Stage], seen: ClusterState, where: Where) -> tuple[Action, ...]:
    """Compare one stage of a step. Without differences it is named only if it runs, or is a policy."""
    match stage.part:
        case "image":
            return tuple(_image(stage, every, seen, where))
        case "namespace":
            return tuple(_namespace(stage.main, seen, where))
        case "job":
            return (*job(stage, every, seen), *_surplus(stage, every, seen, where))
        case "controller":
            return (*controller(stage, every, seen, where), *_surplus(stage, every, seen, where))
        case "policy":
            found = (*_standing(stage, seen, where), *_least(stage, seen), *_surplus(stage, every, seen, where))
            count = len(stage.objects)
            said = f"{count} {'object' if count == 1 else 'objects'} as declared"
            return found or (Action("keep", stage.name, said, stage.owner),)
        case _:
            return (*_standing(stage, seen, where), *_surplus(stage, every, seen, where))


def _standing(stage: Stage, seen: ClusterState, where: Where) -> Iterator[Action]:
    """Compare objects that only exist."""
    mounted = mounted_somewhere(seen)
    for desired in stage.objects:
        made, there, found = compared(desired, seen)
        name, owner, remade = plan_name(desired, where.who.id), stage.owner, key(desired) in mounted
        if there is None:
            yield Action("create", name, "it does not exist", owner, subject=Change(made, remade=remade))
        elif leaving(there):
            yield Action("create", name, "it is being removed", owner, subject=Change(made, there, remade=remade))
        elif found and is_fixed(there, found):
            yield Action("replace", name, summed(found), owner, subject=Change(made, there, remade=remade))
        elif found:
            kept = {REMADE: token} if (token := annotation(there, REMADE)) else {}
            yield Action("change", name, summed(found), owner, subject=Change(annotated(made, kept), there))


def _namespace(desired: Object, seen: ClusterState, where: Where) -> Iterator[Action]:
    """Compare the namespace. One that existed before is used when it was asked for, and left as it is."""
    there, name = seen.namespace, desired["metadata"]["name"]
    made = stamped(desired, seen.secrets.get(SALT, ""))
    if there is None or leaving(there):
        cause = "it is being removed" if there else "it does not exist"
        yield Action("create", plan_name(desired, where.who.id), cause, PLATFORM, subject=Change(made, there))
        return
    whose = (there["metadata"].get("labels") or {}).get(OURS)
    if whose not in {None, where.who.id}:
        raise PermanentError(
            f"the namespace `{name}` is another platform's", hint="choose another one with `--namespace`"
        )
    mine = made_for(there, where.who.id)
    # Any other name was asked for, by this run or an earlier one.
    if whose is None and name == where.who.prefix and not mine:
        raise PermanentError(f"there is a namespace `{name}` that is not stepflow's", hint=FOREIGN)
    if mine and (found := differing(made, there)):
        yield Action("change", plan_name(desired, where.who.id), summed(found), PLATFORM, subject=Change(made, there))


def _image(stage: Stage, every: Sequence[Stage], seen: ClusterState, where: Where) -> Iterator[Action]:
    """Compare what the pods that run an image need of it."""
    image = stage.unit.images[0]
    users = [each for each in every if image in each.unit.images and each.part in {"job", "controller"}]
    owner, name = users[0].owner, f"image {image.name}"
    if image.built and any(unbuilt(each.main) for each in users):
        runs = any(seen.named(each.main["kind"], each.main["metadata"]["name"]) for each in users)
        cause = "what it is made from changed" if runs else f"`{owner}` does not run yet"
        yield from _build(stage, cause, owner, where, runs=runs)
        return
    pods = [pod for each in users for pod in seen.of("Pod", each.owner)]
    lost = next((each for each in reasons(pods, seen, 0.0) if each.kind == "image"), None)
    if image.built and lost:
        yield from _build(stage, f"`{lost.pod}` {lost.words}", owner, where, runs=True)
        return
    starting = (each.owner for each in users if any(map(_starts_pods, reconcile(each, every, seen, where))))
    if not where.site.options.get("registry") and (first := next(starting, "")):
        when = "a node lacks it" if image.built else "the engine has it and a node lacks it"
        yield Action("load", name, f"pods of `{first}` start", owner, when, subject=(image, image_of(users[0].main)))


def _starts_pods(action: Action) -> bool:
    return action.verb in _STARTS_PODS or (action.verb in {"change", "scale"} and action.subject.starts)


def _build(stage: Stage, cause: str, owner: str, where: Where, *, runs: bool) -> Iterator[Action]:
    """Yield the build of an image, with what brings it to the nodes, and the removal of those that it supersedes."""
    image, registry = stage.unit.images[0], where.site.options.get("registry")
    then = f"push it to {registry}" if registry else "load it into nodes that lack it"
    yield Action("build", f"image {image.name}", cause, owner, then=then, subject=(image, ""))
    if runs and not registry:
        when, cause = "the nodes have images of their own", "superseded"
        yield Action("remove", f"older images of {image.name}", cause, owner, when, subject=(image, ""))


def _surplus(stage: Stage, every: Sequence[Stage], seen: ClusterState, where: Where) -> Iterator[Action]:
    """Yield the removal of what an owner no longer wants; what others made of it goes with it."""
    if not stage.last:
        return
    mine = [each for each in every if each.owner == stage.owner]
    desired = {key(each) for one in mine for each in one.objects}
    unknown = any(one.part in {"job", "controller"} and unbuilt(one.main) for one in mine)
    for each in unwanted(seen, stage.owner, desired):
        when = ANOTHER_IMAGE if each["kind"] == "Job" and unknown else ""
        name = plan_name(each, where.who.id)
        yield Action("remove", name, "it is no longer declared", stage.owner, when, subject=Change(old=each))


def unwanted(seen: ClusterState, owner: str, desired: set[str]) -> list[Object]:
    """Return an owner's objects that are not among the desired ones (`kinds.key`)."""
    kinds = [kind for kind in seen.objects if kind not in KEPT | _MADE_BY_OTHERS]
    found = (each for each in seen.every(kinds) if owner_of(each) == owner and key(each) not in desired)
    return [each for each in found if not leaving(each)]


def _least(stage: Stage, seen: ClusterState) -> Iterator[Action]:
    """Yield the scaling of Deployments to what an autoscaler would begin with a quarter of a minute later."""
    for each in stage.unit.least:
        there = seen.named("Deployment", each.name)
        copies = int(there["spec"].get("replicas", 1)) if there else 0
        cause = f"it has {counted(copies)}, and its autoscaler keeps at least {each.copies}"
        when = "" if copies else f"it has fewer than {counted(each.copies)}"  # than what runs first may have by then
        if copies < each.copies:
            cause = "its autoscaler keeps as many" if when else cause
            change = Change(old=there, copies=each.copies, deadline=each.deadline)
            yield Action("scale", f"Deployment/{each.name}", cause, stage.owner, when, subject=change)
