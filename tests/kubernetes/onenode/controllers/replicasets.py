"""A ReplicaSet keeps so many pods of its template."""

from __future__ import annotations

from onenode.controllers.ownership import ended, leaving, new_pod, owned_by, ready, with_conditions
from onenode.kinds import BY_NAME, Object
from onenode.objects import Objects
from onenode.statuses import RefusedError

_NAME = "replicaset-controller"


def control(objects: Objects) -> None:
    """Make and delete pods."""
    for body in objects.store.list("ReplicaSet"):
        pods = [pod for pod in owned_by(objects, body, "Pod") if not ended(pod)]
        staying = [pod for pod in pods if not leaving(pod)]
        wrong = "" if leaving(body) else _reach(objects, body, staying)
        staying = [pod for pod in owned_by(objects, body, "Pod") if not ended(pod) and not leaving(pod)]
        able = sum(ready(pod) for pod in staying)
        failure: Object = {
            "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": wrong,
        }  # fmt: skip
        others = [each for each in body["status"].get("conditions", ()) if each["type"] != "ReplicaFailure"]
        conditions = with_conditions(body, failure) if wrong else others
        objects.status(
            body, replicas=len(staying), fullyLabeledReplicas=len(staying) or None, readyReplicas=able or None,
            availableReplicas=able or None, observedGeneration=body["metadata"]["generation"],
            conditions=conditions or None,
        )  # fmt: skip


def _reach(objects: Objects, body: Object, pods: list[Object]) -> str:
    """Make or delete what is missing or too much; give why a pod could not be made."""
    wanted = body["spec"]["replicas"]
    for pod in sorted(pods, key=_worth)[: max(0, len(pods) - wanted)]:
        name = pod["metadata"]["name"]
        objects.delete(BY_NAME["Pod"], pod["metadata"]["namespace"], name)
        objects.event(body, "SuccessfulDelete", f"Deleted pod: {name}", _NAME)
    for _ in range(wanted - len(pods)):
        try:
            made = objects.create(new_pod(body, body["spec"]["template"]), "kube-controller-manager")
        except RefusedError as error:
            if body["status"].get("replicas") is None or "ReplicaFailure" not in str(body["status"].get("conditions")):
                objects.event(body, "FailedCreate", f"Error creating: {error}", _NAME, warning=True)
            return str(error)
        objects.event(body, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}", _NAME)
    return ""


def _worth(pod: Object) -> tuple[bool, bool, str, str]:
    """Say in which order pods are given up: first what runs nowhere, then what is not ready, then the youngest."""
    young = "".join(chr(0x10FFFF - ord(each)) for each in pod["metadata"]["creationTimestamp"])
    return "nodeName" in pod["spec"], ready(pod), young, pod["metadata"]["name"]
