"""The namespace, what is enforced in it, and how much of the cluster it may take."""

from __future__ import annotations

from .model import Object, Platform
from .names import metadata
from .pod import priority_class, resources
from .servers import PART, server_objects
from .workloads import SERVICE

_PRIORITIES = {PART: 100_000, SERVICE: 10_000}


def namespace_objects(platform: Platform) -> list[Object]:
    """Give the Namespace with Pod Security `restricted`, priorities, default limits and the quota."""
    restricted = {
        f"pod-security.kubernetes.io/{mode}{suffix}": value
        for mode in ("enforce", "audit", "warn")
        for suffix, value in (("", "restricted"), ("-version", "latest"))
    }
    meta = metadata(platform, platform.namespace, part="platform")
    del meta["namespace"]
    namespace: Object = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": meta | {"labels": meta["labels"] | restricted},
    }
    return [
        namespace,
        *(_priority(platform, part) for part in sorted(_PRIORITIES)),
        _limits(platform),
        _quota(platform),
    ]


def _priority(platform: Platform, part: str) -> Object:
    name = priority_class(platform, part)
    meta = metadata(platform, name, part="platform")
    del meta["namespace"]
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": meta,
        "value": _PRIORITIES[part],
        "globalDefault": False,
        "preemptionPolicy": "PreemptLowerPriority",
        "description": f"The {part}s of {platform.namespace}.",
    }


def _limits(platform: Platform) -> Object:
    small = resources("small")
    container = {"type": "Container", "defaultRequest": small["requests"], "default": small["limits"]}
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": metadata(platform, "defaults", part="platform"),
        "spec": {"limits": [container]},
    }


def _quota(platform: Platform) -> Object:
    pods = sum(platform.copies(workload)[1] + 1 for workload in platform.workloads)  # one more while it rolls over
    for kind in platform.server_kinds():
        pods += sum(
            item["spec"]["replicas"] for item in server_objects(platform, kind) if item["kind"] == "StatefulSet"
        )
    hard = {"pods": str(pods), "services.nodeports": "0", "services.loadbalancers": "0"}
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": metadata(platform, "platform", part="platform"),
        "spec": {"hard": hard},
    }
