"""What is created first: the namespace and what is enforced in it, priorities, and the denial of all traffic."""

from __future__ import annotations

from .model import Component, ComponentPart, Object, Release
from .names import DENIAL, PLATFORM, metadata
from .pod import priority_class

SHARED = Component(PLATFORM, "platform")
"""The component of what all share."""
_PRIORITIES: tuple[tuple[ComponentPart, int, str], ...] = (
    ("server", 1_000, "Keeps data: the last to go when a node runs full."),
    ("service", 0, "Serves requests: like a pod without a class."),
)
"""A cluster is shared: neither class takes a place from another team's pod (`preemptionPolicy: Never`). Services have
the default's value, so that no pod without a class gives way to them, nor they to one; data outlive both when a
kubelet has to evict what uses more than it requested.
"""


def foundation(release: Release) -> list[Object]:
    """Return the Namespace with Pod Security `restricted`, the priorities, and the denial of all traffic."""
    denial: Object = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(release, SHARED, DENIAL),
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }
    return [_namespace(release), *(_priority(release, *each) for each in _PRIORITIES), denial]


def _namespace(release: Release) -> Object:
    restricted = {
        f"pod-security.kubernetes.io/{mode}{suffix}": value
        for mode in ("enforce", "audit", "warn")
        for suffix, value in (("", "restricted"), ("-version", "latest"))
    }
    meta = metadata(release, SHARED, release.namespace)
    del meta["namespace"]
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta | {"labels": meta["labels"] | restricted}}


def _priority(release: Release, part: ComponentPart, value: int, description: str) -> Object:
    meta = metadata(release, SHARED, priority_class(release, Component("", part)))
    del meta["namespace"]
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": meta,
        "value": value,
        "preemptionPolicy": "Never",
        "description": description,
    }
