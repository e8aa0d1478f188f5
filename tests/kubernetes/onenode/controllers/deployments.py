"""A Deployment goes from one ReplicaSet to the next."""

from __future__ import annotations

from onenode.controllers.ownership import age, condition, fingerprint, leaving, owned_by, reference, with_conditions
from onenode.kinds import BY_NAME, Object
from onenode.managers import now
from onenode.objects import Objects
from onenode.quantities import share

_NAME = "deployment-controller"
_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"


def control(objects: Objects) -> None:
    """Roll out what is new, and tell how it goes."""
    for body in objects.store.list("Deployment"):
        if leaving(body):
            continue
        sets = sorted(owned_by(objects, body, "ReplicaSet"), key=_revision)
        new = _current(objects, body, sets)
        old = [each for each in sets if each["metadata"]["uid"] != new["metadata"]["uid"]]
        if not body["spec"].get("paused"):
            _roll(objects, body, new, old)
        _forget(objects, body, old)
        _tell(objects, body["metadata"]["namespace"], body["metadata"]["name"])


def _revision(body: Object) -> int:
    return int(body["metadata"].get("annotations", {}).get(_REVISION, "0"))


def _current(objects: Objects, body: Object, sets: list[Object]) -> Object:
    """Give the ReplicaSet of the template as it is, newly made where there is none."""
    mark = fingerprint(body["spec"]["template"])
    found = next((each for each in sets if each["metadata"]["labels"].get(_HASH) == mark), None)
    latest = max((_revision(each) for each in sets), default=0)
    if found is None:
        found = _make(objects, body, mark, str(latest + 1))
    elif _revision(found) < latest:  # back to one that was before
        found["metadata"]["annotations"][_REVISION] = str(latest + 1)
        found = objects.store.put(found)
    noted = body["metadata"].setdefault("annotations", {})
    if noted.get(_REVISION) != found["metadata"]["annotations"][_REVISION]:
        noted[_REVISION] = found["metadata"]["annotations"][_REVISION]
        objects.store.put(body)
    return found


def _make(objects: Objects, body: Object, mark: str, revision: str) -> Object:
    template = body["spec"]["template"]
    labels = {**template["metadata"]["labels"], _HASH: mark}
    selector = body["spec"]["selector"]
    selector = {**selector, "matchLabels": {**selector.get("matchLabels", {}), _HASH: mark}}
    template = {**template, "metadata": {**template["metadata"], "labels": labels}}
    return objects.create({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": f"{body['metadata']['name']}-{mark}", "namespace": body["metadata"]["namespace"], "labels": labels,
            "annotations": {**body["metadata"].get("annotations", {}), _REVISION: revision},
            "ownerReferences": [reference(body)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    }, "kube-controller-manager")  # fmt: skip


def _roll(objects: Objects, body: Object, new: Object, old: list[Object]) -> None:
    wanted, strategy = body["spec"]["replicas"], body["spec"]["strategy"]
    before = sum(each["spec"]["replicas"] for each in old)
    if strategy["type"] == "Recreate":
        for each in old:
            _scale(objects, body, each, 0)
        if not any(each["status"].get("replicas") for each in old) and not before:
            _scale(objects, body, new, wanted)
        return
    surge = share(strategy["rollingUpdate"]["maxSurge"], wanted, up=True)
    missing = share(strategy["rollingUpdate"]["maxUnavailable"], wanted, up=False)
    missing = missing if surge or missing else 1
    has = new["spec"]["replicas"]
    room = wanted + surge - before - has
    _scale(objects, body, new, wanted if has > wanted or not before else has + max(0, min(room, wanted - has)))
    able = sum(each["status"].get("availableReplicas", 0) for each in (new, *old))
    _shrink(objects, body, old, able - (wanted - missing))


def _shrink(objects: Objects, body: Object, old: list[Object], spare: int) -> None:
    """Take pods from the old ReplicaSets: those that are not available first, then as many as can be spared."""
    for each in old:
        count, able = each["spec"]["replicas"], each["status"].get("availableReplicas", 0)
        known = each["status"].get("observedGeneration") == each["metadata"]["generation"]
        sick = max(0, count - able) if known else 0
        give = min(count, sick + max(0, min(spare, count - sick)))
        spare -= max(0, give - sick)
        if give:
            _scale(objects, body, each, count - give)


def _scale(objects: Objects, body: Object, its: Object, count: int) -> None:
    was = its["spec"]["replicas"]
    if was == count:
        return
    fresh = objects.store.get("ReplicaSet", its["metadata"]["namespace"], its["metadata"]["name"])
    fresh["spec"]["replicas"] = count
    fresh["metadata"]["generation"] += 1
    objects.store.put(fresh)
    its["spec"]["replicas"] = count
    how = "up" if count > was else "down"
    said = f"Scaled {how} replica set {its['metadata']['name']} from {was} to {count}"
    objects.event(body, "ScalingReplicaSet", said, _NAME)


def _forget(objects: Objects, body: Object, old: list[Object]) -> None:
    idle = [each for each in old if not each["spec"]["replicas"] and not each["status"].get("replicas")]
    for each in idle[: max(0, len(idle) - body["spec"]["revisionHistoryLimit"])]:
        objects.delete(BY_NAME["ReplicaSet"], each["metadata"]["namespace"], each["metadata"]["name"])


def _tell(objects: Objects, namespace: str, name: str) -> None:
    body = objects.store.get("Deployment", namespace, name)
    sets = owned_by(objects, body, "ReplicaSet")
    mark = fingerprint(body["spec"]["template"])
    [new] = [each for each in sets if each["metadata"]["labels"].get(_HASH) == mark]
    total, able = (sum(each["status"].get(key, 0) for each in sets) for key in ("replicas", "availableReplicas"))
    updated, wanted = new["status"].get("replicas", 0), body["spec"]["replicas"]
    complete = updated == wanted == able and total == updated
    conditions = [_available(body, able), _progressing(body, new, complete=complete, counts=(total, updated, able))]
    failing = condition(new, "ReplicaFailure")
    kept = with_conditions(body, *conditions, *([failing] if failing else []), stamp=True)
    if not failing:
        kept = [each for each in kept if each["type"] != "ReplicaFailure"]
    objects.status(
        body, observedGeneration=body["metadata"]["generation"], replicas=total or None,
        updatedReplicas=updated or None, readyReplicas=able or None, availableReplicas=able or None,
        unavailableReplicas=max(0, total - able, wanted - able) or None,
        conditions=kept,
    )  # fmt: skip


def _available(body: Object, able: int) -> Object:
    strategy, wanted = body["spec"]["strategy"], body["spec"]["replicas"]
    missing = share(strategy.get("rollingUpdate", {}).get("maxUnavailable", 0), wanted, up=False)
    if able >= wanted - missing:
        return {
            "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable",
            "message": "Deployment has minimum availability.",
        }  # fmt: skip
    return {
        "type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable",
        "message": "Deployment does not have minimum availability.",
    }  # fmt: skip


def _progressing(body: Object, new: Object, *, complete: bool, counts: tuple[int, int, int]) -> Object:
    name, before = new["metadata"]["name"], condition(body, "Progressing")
    if complete:
        said = f'ReplicaSet "{name}" has successfully progressed.'
        return {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": said}
    status = body["status"]
    known = tuple(status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas"))
    same = name in before.get("message", "") and before.get("reason") != "NewReplicaSetAvailable"
    since = before.get("lastUpdateTime", "") if same and known == counts else ""
    if since and (before["status"] == "False" or age(since) > body["spec"]["progressDeadlineSeconds"]):
        said = f'ReplicaSet "{name}" has timed out progressing.'
        return {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": said}
    said = f'ReplicaSet "{name}" is progressing.'
    return {
        "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": said,
        "lastUpdateTime": since or now(),
    }  # fmt: skip
