"""The pod of any component: what Pod Security `restricted` asks for, and where the scheduler may put it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .model import Object, Platform
from .names import labels, selector

DRAIN = 5
"""Seconds between the removal of a pod from its Services and SIGTERM: endpoints everywhere have heard of it by then."""
NOBODY = 65532
MARGIN = 5

Size = Literal["small", "large"]
_REQUESTS: dict[Size, Object] = {
    "small": {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "64Mi"},
    "large": {"cpu": "250m", "memory": "384Mi", "ephemeral-storage": "128Mi"},
}
_LIMITS: dict[Size, Object] = {
    "small": {"cpu": "1", "memory": "384Mi", "ephemeral-storage": "256Mi"},
    "large": {"cpu": "2", "memory": "1Gi", "ephemeral-storage": "512Mi"},
}


@dataclass(frozen=True, slots=True)
class Pod:
    """One component's pod, before it becomes an object."""

    component: str
    part: str
    container: Object  # name, image, command, ports, probes
    volumes: Sequence[Object] = ()
    mounts: Sequence[Object] = ()
    uid: int = NOBODY
    size: Size = "small"
    stop_grace: float = 15.0
    annotations: tuple[tuple[str, str], ...] = ()


def resources(size: Size) -> Object:
    """Give requests and limits for CPU, memory and ephemeral storage."""
    return {"requests": dict(_REQUESTS[size]), "limits": dict(_LIMITS[size])}


def template(platform: Platform, pod: Pod) -> Object:
    """Give the pod template of a Deployment or StatefulSet."""
    metadata: Object = {"labels": labels(platform, pod.component, part=pod.part)}
    if pod.annotations:
        metadata["annotations"] = dict(pod.annotations)
    spec: Object = {
        "serviceAccountName": pod.component,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "priorityClassName": priority_class(platform, pod.part),
        "terminationGracePeriodSeconds": round(pod.stop_grace) + DRAIN + MARGIN,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": pod.uid,
            "runAsGroup": pod.uid,
            "fsGroup": pod.uid,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": _apart(pod.component),
        "topologySpreadConstraints": _spread(pod.component),
        "containers": [_container(pod)],
        "volumes": [*pod.volumes, {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
    }
    return {"metadata": metadata, "spec": spec}


def priority_class(platform: Platform, part: str) -> str:
    """Name the priority of a component: data outlives traffic when a node runs full."""
    return f"{platform.namespace}-{'data' if part == 'backing-server' else 'service'}"


def _container(pod: Pod) -> Object:
    hardened: Object = {
        "imagePullPolicy": "IfNotPresent",
        "resources": resources(pod.size),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [*pod.mounts, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the pod's own
    }
    return pod.container | hardened


def _apart(component: str) -> Object:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": selector(component)}}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _spread(component: str) -> list[Object]:
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",  # a cluster of one node must take it too
            "labelSelector": {"matchLabels": selector(component)},
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]
