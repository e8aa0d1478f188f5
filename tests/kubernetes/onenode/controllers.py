"""The controllers: each looks at all objects, does what is next, and is called again when anything has changed."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

from onenode import workloads
from onenode.kinds import Object
from onenode.objects import Objects, leaving, with_conditions
from onenode.refusals import RefusedError, used_of

_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_PROTECTION = "kubernetes.io/pvc-protection"
_SCHEDULER = "default-scheduler"


async def run(objects: Objects) -> None:
    """Run the controllers until this is cancelled."""
    while True:
        version = objects.store.version
        for control in _CONTROLLERS:
            try:
                control(objects)
            except RefusedError:  # a namespace is being deleted under it; the next round sees what is left
                continue
            except Exception:  # noqa: BLE001 - a failing controller must be seen, and must not stop the others
                traceback.print_exc()
        await objects.store.changed(version, 60)
        await asyncio.sleep(0.01)  # changes come in groups


def _delete_namespaces(objects: Objects) -> None:
    """Empty the namespaces that are being deleted, and remove those that are empty."""
    for namespace in filter(leaving, objects.store.list("Namespace")):
        left = list(objects.store.namespaced(namespace["metadata"]["name"]))
        for each in left:
            if not leaving(each):
                objects.delete(each)
        if not left:
            objects.store.remove(namespace)


def _collect_garbage(objects: Objects) -> None:
    """Delete objects whose owners are all gone, and claims that no pod uses any longer."""
    everything = list(objects.store.namespaced())
    there = {body["metadata"]["uid"] for body in everything}
    for body in everything:
        owners = {each["uid"] for each in body["metadata"].get("ownerReferences", ())}
        if owners and not there & owners and not leaving(body):
            objects.delete(body)
        if leaving(body) and body["metadata"].get("finalizers") == [_PROTECTION] and not _is_used(objects, body):
            objects.store.remove(body)


def _claims(pod: Object) -> list[str]:
    sources = (each.get("persistentVolumeClaim") for each in pod["spec"].get("volumes", ()))
    return [source["claimName"] for source in sources if source]


def _is_used(objects: Objects, claim: Object) -> bool:
    pods = objects.store.list("Pod", claim["metadata"]["namespace"])
    return any(claim["metadata"]["name"] in _claims(pod) for pod in pods)


def _bind_claims(objects: Objects) -> None:
    """Bind each claim to a volume of the default storage class."""
    classes = objects.store.list("StorageClass")
    default = next(each for each in classes if each["metadata"].get("annotations", {}).get(_DEFAULT) == "true")
    for claim in objects.store.list("PersistentVolumeClaim"):
        if claim["status"].get("phase") == "Bound":
            continue
        claim["spec"].setdefault("storageClassName", default["metadata"]["name"])
        claim["spec"]["volumeName"] = f"pvc-{claim['metadata']['uid']}"
        size, modes = claim["spec"]["resources"]["requests"], claim["spec"]["accessModes"]
        objects.status(objects.store.put(claim), phase="Bound", capacity=size, accessModes=modes)


def _schedule_pods(objects: Objects) -> None:
    """Assign each pod to a node that takes it, or write why there is none; capacities are not looked at."""
    nodes = objects.store.list("Node")
    able = [node["metadata"]["name"] for node in nodes if not node["spec"].get("unschedulable")]
    for pod in objects.store.list("Pod"):
        if "nodeName" in pod["spec"] or leaving(pod):
            continue
        if not _are_bound(objects, pod):
            _decline(objects, pod, len(nodes), "pod has unbound immediate PersistentVolumeClaims. not found")
        elif able:
            _assign(objects, pod, able[0])
        else:
            helpless = f"0/{len(nodes)} nodes are available: {len(nodes)} Preemption is not helpful for scheduling"
            why = f"{len(nodes)} node(s) were unschedulable. no new claims to deallocate, preemption: {helpless}."
            _decline(objects, pod, len(nodes), why)


def _are_bound(objects: Objects, pod: Object) -> bool:
    claims = (objects.store.find("PersistentVolumeClaim", pod["metadata"]["namespace"], name) for name in _claims(pod))
    return all(claim is not None and claim["status"].get("phase") == "Bound" for claim in claims)


def _assign(objects: Objects, pod: Object, node: str) -> None:
    pod["spec"]["nodeName"] = node
    objects.store.put(pod)
    done = {"type": "PodScheduled", "status": "True"}
    objects.status(pod, phase="Pending", conditions=with_conditions(pod, done))
    said = f"Successfully assigned {pod['metadata']['namespace']}/{pod['metadata']['name']} to {node}"
    objects.event(pod, "Scheduled", said, _SCHEDULER)


def _decline(objects: Objects, pod: Object, nodes: int, why: str) -> None:
    said = f"0/{nodes} nodes are available: {why}"
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    conditions = with_conditions(pod, told)
    if conditions != pod["status"].get("conditions"):
        objects.status(pod, phase="Pending", conditions=conditions)
        objects.event(pod, "FailedScheduling", said, _SCHEDULER, warning=True)


def _count_quotas(objects: Objects) -> None:
    """Write what each namespace uses of its quotas."""
    for quota in objects.store.list("ResourceQuota"):
        used = {key: str(value) for key, value in used_of(objects.store, quota).items()}
        objects.status(quota, hard=quota["spec"]["hard"], used=used)


_CONTROLLERS: tuple[Callable[[Objects], None], ...] = (
    _delete_namespaces, _collect_garbage, _bind_claims, workloads.control_deployments, workloads.control_replica_sets,
    workloads.control_stateful_sets, _schedule_pods, _count_quotas,
)  # fmt: skip
