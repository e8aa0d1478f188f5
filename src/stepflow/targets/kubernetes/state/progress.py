"""Progress of a Deployment or StatefulSet towards its desired state. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from stepflow.targets.kubernetes.api.kinds import Object, Objects
from stepflow.targets.kubernetes.state.diagnose import is_ready
from stepflow.targets.kubernetes.state.snapshot import ClusterState, annotation, owned_by, owner_of

REVISION = "deployment.kubernetes.io/revision"
"""Annotation of a Deployment and its ReplicaSets: how many templates there were before."""
HASHES = {"Deployment": "pod-template-hash", "StatefulSet": "controller-revision-hash"}
"""Controller -> the label of its pods that tells one template from another."""


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """How far the rollout of a controller is."""

    done: bool
    desired: int
    seen: bool = True  # its controller has seen what is desired of it now
    ready: int = 0  # copies of the newest template
    template: str = ""  # what its newest pods are labelled with
    pods: Objects = field(default_factory=list)  # those
    outdated: Objects = field(default_factory=list)


def rollout_status(each: Object, seen: ClusterState) -> RolloutStatus:
    """Return how far the rollout of a Deployment or StatefulSet is."""
    status, desired = each.get("status", {}), each["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < each["metadata"].get("generation", 1):
        return RolloutStatus(done=False, desired=desired, seen=False)
    template = newest(each, seen)
    label = HASHES[each["kind"]]
    mine = [pod for pod in seen.of("Pod", owner_of(each)) if label in (pod["metadata"].get("labels") or {})]
    pods = [pod for pod in mine if pod["metadata"]["labels"][label] == template]
    outdated = [pod for pod in mine if pod not in pods and not pod["metadata"].get("deletionTimestamp")]
    ready = sum(map(is_ready, pods))  # the status may still count a pod that has just been killed
    good = min(status.get("availableReplicas", 0), status.get("updatedReplicas", 0), ready)
    done = good == desired == status.get("replicas", 0) and not outdated
    return RolloutStatus(done, desired, ready=ready, template=template, pods=pods, outdated=outdated)


def newest(each: Object, seen: ClusterState) -> str:
    """Name the template that a controller makes pods of now; "" when it has made none yet."""
    if each["kind"] == "StatefulSet":
        return str(each.get("status", {}).get("updateRevision", ""))
    number = annotation(each, REVISION)
    for made in seen.of("ReplicaSet", owner_of(each)):
        if owned_by(made, each) and annotation(made, REVISION) == number:
            return str(made["metadata"]["labels"].get(HASHES["Deployment"], ""))
    return ""


def overdue(each: Object) -> str:
    """Return since when a Deployment has exceeded its progress deadline; "" when it has not."""
    conditions = each.get("status", {}).get("conditions") or ()
    found: Object = next((one for one in conditions if one.get("reason") == "ProgressDeadlineExceeded"), {})
    return str(found.get("lastUpdateTime", ""))
