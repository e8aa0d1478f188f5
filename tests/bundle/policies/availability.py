"""What survives a lost node, a drain, a rollout and a rush."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from .rule import of_kind, of_pods, rule
from .snapshot import Object, Pod, Snapshot, name, namespace, picks

HOST = "kubernetes.io/hostname"
FLOOR = 3
"""Three survive a node that drains while another fails."""


@rule(
    "kube-score/deployment-replicas",
    asks="a Deployment that a Service sends to has more than one copy",
    remedy="replicas: 2 or more",
    decided_by="the setting `replicas`",
)
def _replicas(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for pod in snapshot.pods:
        alone = (
            pod.owner["kind"] == "Deployment" and not snapshot.autoscaler(pod.owner) and snapshot.least(pod.owner) <= 1
        )
        if alone and snapshot.has_service(pod):
            yield pod.owner, "has one copy"


@rule(
    "kube-linter/hpa-minimum-three-replicas",
    asks="an autoscaler leaves three copies at least",
    remedy="minReplicas: 3 or more",
    decided_by="the setting `replicas`",
)
def _three(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for item in snapshot.of("HorizontalPodAutoscaler"):
        if (least := item["spec"].get("minReplicas", 1)) < FLOOR:
            yield item, f"may go down to {least}"


@rule(
    "kube-score/horizontalpodautoscaler-replicas",
    "polaris/hpaMinAvailability",
    asks="an autoscaler leaves two copies at least",
    remedy="minReplicas: 2 or more",
    decided_by="the setting `replicas`",
)
def _two(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for item in snapshot.of("HorizontalPodAutoscaler"):
        if (least := item["spec"].get("minReplicas", 1)) <= 1:
            yield item, f"may go down to {least}"


@rule(
    "polaris/hpaMaxAvailability",
    asks="an autoscaler has room between its bounds",
    remedy="maxReplicas above minReplicas, or a fixed number of replicas",
    decided_by="the setting `max_replicas`",
)
def _room(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for item in snapshot.of("HorizontalPodAutoscaler"):
        if item["spec"]["maxReplicas"] <= item["spec"].get("minReplicas", 1):
            yield item, f"has no room: {item['spec']['maxReplicas']} at most"


@rule(
    "kube-linter/dangling-horizontalpodautoscaler",
    "kube-score/horizontalpodautoscaler-has-target",
    asks="an autoscaler's target exists",
    remedy="name an existing Deployment in scaleTargetRef",
)
def _target(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for item in snapshot.of("HorizontalPodAutoscaler"):
        target = item["spec"]["scaleTargetRef"]
        if (namespace(item), target["name"]) not in snapshot.names(target["kind"]):
            yield item, f"targets {target['kind']} `{target['name']}`, which is not there"


@rule(
    "kube-score/deployment-targeted-by-hpa-does-not-have-replicas-configured",
    asks="where an autoscaler counts, no manifest does",
    remedy="leave replicas out",
)
def _counted_twice(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for item in snapshot.of("Deployment"):
        if "replicas" in item["spec"] and snapshot.autoscaler(item):
            yield item, "has a number of replicas and an autoscaler"


@of_kind(
    "Deployment",
    "kube-linter/no-rolling-update-strategy",
    "kube-score/deployment-strategy",
    asks="pods are replaced one after the other",
    remedy="strategy.type: RollingUpdate",
)
def _strategy(item: Object) -> str:
    kind = item["spec"].get("strategy", {}).get("type", "")
    return "" if kind == "RollingUpdate" else "does not say that its pods are replaced one after the other"


@rule(
    "kube-linter/no-anti-affinity",
    "kube-score/deployment-has-host-podantiaffinity",
    "kube-score/statefulset-has-host-podantiaffinity",
    asks="copies keep off the node of another",
    remedy=f"podAntiAffinity with topologyKey {HOST} and the pod's own labels",
)
def _apart(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for pod in snapshot.pods:
        affinity = pod.spec.get("affinity", {}).get("podAntiAffinity", {})
        terms = [
            each["podAffinityTerm"] for each in affinity.get("preferredDuringSchedulingIgnoredDuringExecution", [])
        ]
        terms += affinity.get("requiredDuringSchedulingIgnoredDuringExecution", [])
        kept = any(t["topologyKey"] == HOST and picks(t.get("labelSelector"), pod.labels) for t in terms)
        if not kept and not pod.is_job:
            yield pod.owner, "does not keep its copies on different nodes"


@of_pods(
    "kube-score/pod-topology-spread-constraints",
    "polaris/topologySpreadConstraint",
    asks="copies are spread over zones and nodes",
    remedy="topologySpreadConstraints that pick the pod's own labels",
)
def _spread(pod: Pod) -> str:
    constraints = pod.spec.get("topologySpreadConstraints", [])
    kept = constraints and all(picks(each.get("labelSelector"), pod.labels) for each in constraints)
    return "" if pod.is_job or kept else "is not spread"


@of_pods(
    "kube-linter/no-node-affinity",
    asks="a pod says which nodes can run it",
    remedy="nodeAffinity, e.g. kubernetes.io/os In [linux]",
)
def _nodes(pod: Pod) -> str:
    return "" if pod.spec.get("affinity", {}).get("nodeAffinity") else "does not say which nodes can run it"


@rule(
    "kube-score/deployment-has-poddisruptionbudget",
    "kube-score/statefulset-has-poddisruptionbudget",
    "polaris/missingPodDisruptionBudget",
    asks="a budget says how many copies a drain may take",
    remedy="a PodDisruptionBudget that picks its pods",
)
def _budget(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for pod in snapshot.pods:
        found = (
            b
            for b in snapshot.of("PodDisruptionBudget")
            if pod in snapshot.selected(namespace(b), b["spec"].get("selector"))
        )
        if not pod.is_job and not any(found):
            yield pod.owner, "has no PodDisruptionBudget"


@of_kind(
    "PodDisruptionBudget",
    "kube-score/poddisruptionbudget-has-policy",
    asks="a budget says minAvailable or maxUnavailable",
    remedy="maxUnavailable: 1",
)
def _policy(item: Object) -> str:
    return "" if {"minAvailable", "maxUnavailable"} & item["spec"].keys() else "says no number"


@of_kind(
    "PodDisruptionBudget",
    "kube-linter/pdb-max-unavailable",
    "polaris/pdbDisruptionsIsZero",
    asks="a budget leaves a drain something to take",
    remedy="maxUnavailable: 1",
)
def _none_to_take(item: Object) -> str:
    spec = item["spec"]
    return "lets no drain end" if spec.get("maxUnavailable") in {0, "0%"} or spec.get("minAvailable") == "100%" else ""


@rule(
    "kube-linter/pdb-min-available",
    "polaris/pdbMinAvailableGreaterThanHPAMinReplicas",
    asks="a budget asks for fewer copies than there are at least",
    remedy="minAvailable below the copies, or maxUnavailable: 1",
)
def _all_needed(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    for item in snapshot.of("PodDisruptionBudget"):
        needed = item["spec"].get("minAvailable")
        for pod in (
            snapshot.selected(namespace(item), item["spec"].get("selector")) if needed not in {None, "100%"} else ()
        ):
            least = snapshot.least(pod.owner)
            if not pod.is_job and least <= _number(needed, least):
                yield item, f"needs {needed} of the {least} copies of `{name(pod.owner)}`"


def _number(needed: Any, copies: int) -> int:  # noqa: ANN401 - a number or a percentage
    return math.ceil(copies * int(needed[:-1]) / 100) if isinstance(needed, str) else int(needed)


@of_kind(
    "PodDisruptionBudget",
    "kube-linter/pdb-unhealthy-pod-eviction-policy",
    asks="a pod that is ill anyway does not hold up a drain",
    remedy="unhealthyPodEvictionPolicy: AlwaysAllow",
)
def _ill(item: Object) -> str:
    said = item["spec"].get("unhealthyPodEvictionPolicy")
    return "" if said == "AlwaysAllow" else "lets a pod that is ill hold up a drain"


@rule(
    "kube-linter/priority-class-name",
    "polaris/priorityClassNotSet",
    asks="a pod has a priority that is declared",
    remedy="priorityClassName: one of the PriorityClasses",
)
def _priority(snapshot: Snapshot) -> Iterator[tuple[Object, str]]:
    declared = {name(item) for item in snapshot.of("PriorityClass")}
    for pod in snapshot.pods:
        if pod.spec.get("priorityClassName") not in declared:
            yield pod.owner, "has no declared priority"


@of_pods(
    "kube-linter/restart-policy",
    asks="a pod says that it is restarted",
    remedy="restartPolicy: Always, of a Job OnFailure",
)
def _restarts(pod: Pod) -> str:
    return "" if pod.spec.get("restartPolicy") in {"Always", "OnFailure"} else "does not say that it is restarted"


@of_kind(
    "Job",
    "kube-linter/job-ttl-seconds-after-finished",
    asks="a Job is cleared away when it is done",
    remedy="ttlSecondsAfterFinished",
)
def _cleared(item: Object) -> str:
    return "" if "ttlSecondsAfterFinished" in item["spec"] else "stays for ever"
