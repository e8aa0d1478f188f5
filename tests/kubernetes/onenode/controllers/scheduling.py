"""Which node a pod runs on: the first that takes it; where none does, why."""

from __future__ import annotations

from onenode.admission import usage
from onenode.controllers.ownership import condition, ended, leaving, with_conditions
from onenode.kinds import Object
from onenode.objects import Objects
from onenode.quantities import amount

_NAME = "default-scheduler"


def control(objects: Objects) -> None:
    """Give each pod that has none its node."""
    nodes = objects.store.list("Node")
    for pod in objects.store.list("Pod"):
        if "nodeName" in pod["spec"] or leaving(pod):
            continue
        why = _unbound(objects, pod) or ""
        wrong: dict[str, int] = {}
        for node in () if why else nodes:
            refusal = _refusal(objects, pod, node)
            if not refusal:
                _assign(objects, pod, node["metadata"]["name"])
                break
            wrong[refusal] = wrong.get(refusal, 0) + 1
        else:
            _decline(objects, pod, len(nodes), why, wrong)


def _unbound(objects: Objects, pod: Object) -> str:
    for volume in pod["spec"].get("volumes", ()):
        name = volume.get("persistentVolumeClaim", {}).get("claimName")
        if not name:
            continue
        claim = objects.store.find("PersistentVolumeClaim", pod["metadata"]["namespace"], name)
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if claim["status"].get("phase") != "Bound":
            return "pod has unbound immediate PersistentVolumeClaims. not found"
    return ""


def _refusal(objects: Objects, pod: Object, node: Object) -> str:
    labels = node["metadata"]["labels"]
    if any(labels.get(key) != value for key, value in pod["spec"].get("nodeSelector", {}).items()):
        return "node(s) didn't match Pod's node affinity/selector"
    if node["spec"].get("unschedulable"):
        return "node(s) were unschedulable"
    there = [each for each in objects.store.list("Pod") if each["spec"].get("nodeName") == node["metadata"]["name"]]
    for resource in ("cpu", "memory"):
        key = f"requests.{resource}"
        used = sum(usage("Pod", each).get(key, 0.0) for each in there if not ended(each))
        if used + usage("Pod", pod).get(key, 0.0) > amount(node["status"]["allocatable"][resource]):
            return f"Insufficient {resource}"
    return ""


def _assign(objects: Objects, pod: Object, node: str) -> None:
    pod["spec"]["nodeName"] = node
    pod = objects.store.put(pod)
    done = {"type": "PodScheduled", "status": "True"}
    objects.status(pod, phase="Pending", conditions=with_conditions(pod, done))
    said = f"Successfully assigned {pod['metadata']['namespace']}/{pod['metadata']['name']} to {node}"
    objects.event(pod, "Scheduled", said, _NAME)


def _decline(objects: Objects, pod: Object, nodes: int, why: str, wrong: dict[str, int]) -> None:
    said = f"0/{nodes} nodes are available: {why}"
    if not why:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(wrong.items()))
        help_less = f"{nodes} Preemption is not helpful for scheduling"
        said += f"{reasons}. no new claims to deallocate, preemption: 0/{nodes} nodes are available: {help_less}."
    if condition(pod, "PodScheduled").get("message") != said:
        told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
        objects.status(pod, phase="Pending", conditions=with_conditions(pod, told))
        objects.event(pod, "FailedScheduling", said, _NAME, warning=True)
