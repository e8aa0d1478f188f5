"""The controllers of what makes pods: Deployments, their ReplicaSets, and StatefulSets."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy

from onenode.kinds import Object
from onenode.objects import Objects, leaving, ready, with_conditions
from onenode.refusals import RefusedError

_DEPLOYMENTS, _REPLICA_SETS = "deployment-controller", "replicaset-controller"
_MANAGER = "kube-controller-manager"
_REVISION = "deployment.kubernetes.io/revision"
_HASH, _REVISION_HASH = "pod-template-hash", "controller-revision-hash"


def control_deployments(objects: Objects) -> None:
    """Roll out each Deployment's template, and write its status."""
    for body in objects.store.list("Deployment"):
        sets = _owned_by(objects, body, "ReplicaSet")
        new = _current(objects, body, sets)
        old = [each for each in sets if each["metadata"]["uid"] != new["metadata"]["uid"]]
        _roll(objects, body, new, old)
        _write_status(objects, body, new, old)


def _revision(body: Object) -> int:
    return int(body["metadata"].get("annotations", {}).get(_REVISION, "0"))


def _current(objects: Objects, body: Object, sets: list[Object]) -> Object:
    """Return the ReplicaSet of the present template, with the highest revision; create it where there is none."""
    mark = _fingerprint(body["spec"]["template"])
    found = next((each for each in sets if each["metadata"]["labels"].get(_HASH) == mark), None)
    latest = max(map(_revision, sets), default=0)
    if found is None:
        found = _create_set(objects, body, mark, str(latest + 1))
    elif _revision(found) < latest:  # back to an earlier template
        found["metadata"]["annotations"][_REVISION] = str(latest + 1)
        found = objects.store.put(found)
    if _revision(body) != _revision(found):
        body["metadata"].setdefault("annotations", {})[_REVISION] = str(_revision(found))
        objects.store.put(body)
    return found


def _create_set(objects: Objects, body: Object, mark: str, revision: str) -> Object:
    spec, metadata = body["spec"], body["metadata"]
    labels = {**spec["template"]["metadata"]["labels"], _HASH: mark}
    return objects.create({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{mark}", "namespace": metadata["namespace"], "labels": labels,
            "annotations": {**metadata.get("annotations", {}), _REVISION: revision},
            "ownerReferences": [_reference(body)],
        },
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {**spec["selector"]["matchLabels"], _HASH: mark}},
            "template": {**spec["template"], "metadata": {**spec["template"]["metadata"], "labels": labels}},
        },
    }, _MANAGER)  # fmt: skip


def _roll(objects: Objects, body: Object, new: Object, old: list[Object]) -> None:
    """Add new pods as far as `maxSurge` allows, and remove old ones as far as `maxUnavailable` does."""
    wanted, strategy = body["spec"]["replicas"], body["spec"]["strategy"]["rollingUpdate"]
    surge = _share(strategy["maxSurge"], wanted, up=True)
    missing = _share(strategy["maxUnavailable"], wanted, up=False)
    before, has = sum(each["spec"]["replicas"] for each in old), new["spec"]["replicas"]
    room = wanted + surge - before - has
    _scale(objects, body, new, wanted if has > wanted or not before else has + max(0, min(room, wanted - has)))
    spare = sum(each["status"].get("availableReplicas", 0) for each in (new, *old)) - (wanted - missing)
    for each in old:  # first the pods that are not available, then as many as can be spared
        count, able = each["spec"]["replicas"], each["status"].get("availableReplicas", 0)
        known = each["status"].get("observedGeneration") == each["metadata"]["generation"]
        sick = max(0, count - able) if known else 0
        given = sick + max(0, min(spare, count - sick))
        spare -= given - sick
        _scale(objects, body, each, count - given)


def _share(value: str | int, whole: int, *, up: bool) -> int:
    """Return a number of pods, given as such or as a percentage of `whole`, rounded up or down."""
    if isinstance(value, int):
        return value
    part = int(value.removesuffix("%")) * whole
    return -(-part // 100) if up else part // 100


def _scale(objects: Objects, body: Object, its: Object, count: int) -> None:
    was = its["spec"]["replicas"]
    if was == count:
        return
    its["spec"]["replicas"] = count
    its["metadata"]["generation"] += 1
    objects.store.put(its)
    how = "up" if count > was else "down"
    said = f"Scaled {how} replica set {its['metadata']['name']} from {was} to {count}"
    objects.event(body, "ScalingReplicaSet", said, _DEPLOYMENTS)


def _write_status(objects: Objects, body: Object, new: Object, old: list[Object]) -> None:
    total, able = (sum(each["status"].get(key, 0) for each in (new, *old)) for key in ("replicas", "availableReplicas"))
    objects.status(
        body, observedGeneration=body["metadata"]["generation"], replicas=total or None,
        updatedReplicas=new["status"].get("replicas") or None, readyReplicas=able or None,
        availableReplicas=able or None, conditions=new["status"].get("conditions"),
    )  # fmt: skip


def control_replica_sets(objects: Objects) -> None:
    """Create and delete the pods of each ReplicaSet, and write its status."""
    for body in objects.store.list("ReplicaSet"):
        wrong = _reach(objects, body, _staying(objects, body))
        staying = _staying(objects, body)
        able = sum(map(ready, staying))
        failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": wrong}
        objects.status(
            body, replicas=len(staying), readyReplicas=able or None, availableReplicas=able or None,
            observedGeneration=body["metadata"]["generation"],
            conditions=with_conditions(body, failure) if wrong else None,
        )  # fmt: skip


def _staying(objects: Objects, body: Object) -> list[Object]:
    return [pod for pod in _owned_by(objects, body, "Pod") if not leaving(pod)]


def _reach(objects: Objects, body: Object, pods: list[Object]) -> str:
    """Create or delete the difference; returns why a pod could not be created."""
    wanted = body["spec"]["replicas"]
    for pod in sorted(pods, key=_worth)[: max(0, len(pods) - wanted)]:
        objects.delete(pod)
        objects.event(body, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}", _REPLICA_SETS)
    for _ in range(wanted - len(pods)):
        try:
            made = objects.create(_new_pod(body), _MANAGER)
        except RefusedError as error:
            if "conditions" not in body["status"]:
                objects.event(body, "FailedCreate", f"Error creating: {error}", _REPLICA_SETS, warning=True)
            return str(error)
        objects.event(body, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}", _REPLICA_SETS)
    return ""


def _worth(pod: Object) -> tuple[bool, bool, str, str]:
    """Return the order in which pods are given up: without a node, not ready, the youngest."""
    young = "".join(chr(0x10FFFF - ord(each)) for each in pod["metadata"]["creationTimestamp"])
    return "nodeName" in pod["spec"], ready(pod), young, pod["metadata"]["name"]


def control_stateful_sets(objects: Objects) -> None:
    """Create, replace and delete the pods of each StatefulSet, and write its status."""
    for body in objects.store.list("StatefulSet"):
        revision = f"{body['metadata']['name']}-{_fingerprint(body['spec']['template'])}"
        if objects.store.find("ControllerRevision", body["metadata"]["namespace"], revision) is None:
            _keep_template(objects, body, revision)
        _reach_numbered(objects, body, revision)
        _write_set_status(objects, body, revision)


def _keep_template(objects: Objects, body: Object, name: str) -> None:
    """Create the ControllerRevision with which a template can be restored."""
    template, kept = body["spec"]["template"], _owned_by(objects, body, "ControllerRevision")
    objects.create({
        "apiVersion": "apps/v1", "kind": "ControllerRevision",
        "revision": max((each["revision"] for each in kept), default=0) + 1,
        "metadata": {
            "name": name, "namespace": body["metadata"]["namespace"], "ownerReferences": [_reference(body)],
            "labels": template["metadata"]["labels"],
        },
        "data": {"spec": {"template": {**template, "$patch": "replace"}}},
    }, _MANAGER)  # fmt: skip


def _number(pod: Object) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])


def _reach_numbered(objects: Objects, body: Object, revision: str) -> None:
    """Take the next step: create a pod that is missing, else delete one that is too much or outdated, the last first.

    All pods may start at once (`podManagementPolicy: Parallel`, whatever is asked); they are replaced one by one.
    """
    pods = {_number(pod): pod for pod in _owned_by(objects, body, "Pod")}
    wanted = range(body["spec"]["replicas"])
    missing = next((number for number in wanted if number not in pods), None)
    if missing is not None:
        _create_numbered(objects, body, missing, revision)
        return
    old = {each for each in pods if each not in wanted or pods[each]["metadata"]["labels"][_REVISION_HASH] != revision}
    if old and all(ready(pods[each]) for each in pods if each not in old) and not leaving(pods[max(old)]):
        objects.delete(pods[max(old)])


def _create_numbered(objects: Objects, body: Object, number: int, revision: str) -> None:
    name, namespace, spec = f"{body['metadata']['name']}-{number}", body["metadata"]["namespace"], body["spec"]
    labels = {
        _REVISION_HASH: revision,
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": str(number),
    }
    pod = _new_pod(body, name, labels)
    pod["spec"] |= {"hostname": name, "subdomain": spec.get("serviceName", "")}
    for template in spec.get("volumeClaimTemplates", ()):
        claim, volume = deepcopy(template), template["metadata"]["name"]
        more = claim["metadata"].get("labels", {})
        claim["metadata"] |= {
            "name": f"{volume}-{name}", "namespace": namespace, "labels": spec["selector"]["matchLabels"] | more,
        }  # fmt: skip
        if objects.store.find("PersistentVolumeClaim", namespace, claim["metadata"]["name"]) is None:
            claim.pop("status")
            objects.create(claim, _MANAGER)
        source = {"name": volume, "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
        pod["spec"]["volumes"] = [*pod["spec"].get("volumes", ()), source]
    objects.create(pod, _MANAGER)
    said = f"create Pod {name} in StatefulSet {body['metadata']['name']} successful"
    objects.event(body, "SuccessfulCreate", said, "statefulset-controller")


def _write_set_status(objects: Objects, body: Object, revision: str) -> None:
    pods = [pod for pod in _owned_by(objects, body, "Pod") if not leaving(pod)]
    able = sum(map(ready, pods))
    updated = sum(pod["metadata"]["labels"][_REVISION_HASH] == revision for pod in pods)
    objects.status(
        body, observedGeneration=body["metadata"]["generation"], replicas=len(pods), readyReplicas=able or None,
        availableReplicas=able, updatedReplicas=updated or None, updateRevision=revision,
    )  # fmt: skip


# What they share -----------------------------------------------------------------------------------------------------


def _reference(owner: Object) -> Object:
    """Return the reference by which an object belongs to its controller."""
    return {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip


def _owned_by(objects: Objects, owner: Object, kind: str) -> list[Object]:
    """Return the objects of a kind that an object controls."""
    uid = owner["metadata"]["uid"]
    return [
        each
        for each in objects.store.list(kind, owner["metadata"]["namespace"])
        if any(ref["uid"] == uid for ref in each["metadata"].get("ownerReferences", ()))
    ]


def _fingerprint(template: Object) -> str:
    """Return ten characters that identify a template."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def _new_pod(owner: Object, name: str = "", labels: Object | None = None) -> Object:
    """Return a new pod of a controller's template; without a name it gets a generated one."""
    template = owner["spec"]["template"]
    named = {"name": name} if name else {"generateName": owner["metadata"]["name"] + "-"}
    metadata = named | {
        "namespace": owner["metadata"]["namespace"], "ownerReferences": [_reference(owner)],
        "labels": template["metadata"]["labels"] | (labels or {}),
    }  # fmt: skip
    if "annotations" in template["metadata"]:
        metadata["annotations"] = dict(template["metadata"]["annotations"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": deepcopy(template["spec"])}
