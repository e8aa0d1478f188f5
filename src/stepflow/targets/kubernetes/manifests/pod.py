"""The pod of any component: what Pod Security `restricted` asks for, and where the scheduler may put it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .model import Component, Object, Release
from .names import pod_labels, selector
from .resources import Size, resources
from .slot import text

USER = 65532
"""The user and group of all pods (`nonroot` of the distroless images)."""
_MARGIN = 5
_NDOTS = "2"
"""Dots from which on a name is asked for as it is. `nats` and `nats-0.nats-pods` have fewer: the first domain of the
search path (the namespace's) answers. What lies outside (`smtp.example.org`) is not sought inside first. Names are not
written out with the cluster's domain, because no API tells what that is.
"""


@dataclass(frozen=True, slots=True)
class Pod:
    """A component's pod, before it becomes an object."""

    component: Component
    container: Object  # image, command, env, ports, probes
    size: Size
    volumes: Sequence[Object] = ()
    mounts: Sequence[Object] = ()
    roles: tuple[str, ...] = ()  # labels that network policies pick
    account: str = ""  # its ServiceAccount; by default called like the component
    before_stop: Object | None = None  # preStop hook; None: SIGTERM at once
    takes: int = 15  # seconds that the hook and the stop after it may take
    restart: str = "Always"
    annotations: tuple[tuple[str, str], ...] = ()
    about: tuple[tuple[str, str], ...] = ()  # annotations of its controller
    stored: str = ""  # size of data in the pod itself, which counts as its ephemeral storage


def template(release: Release, pod: Pod) -> Object:
    """Return the pod template of a controller."""
    metadata: Object = {"labels": pod_labels(release, pod.component, pod.roles)}
    if pod.annotations:
        metadata["annotations"] = dict(pod.annotations)
    spec: Object = {
        "serviceAccountName": pod.account or pod.component.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": pod.restart,
        "priorityClassName": priority_class(release, pod.component),
        "terminationGracePeriodSeconds": pod.takes + _MARGIN,
        "dnsConfig": {"options": [{"name": "ndots", "value": _NDOTS}]},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {"nodeAffinity": _linux(), "podAntiAffinity": _apart(pod.component)},
        "topologySpreadConstraints": _spread(pod.component),
        "containers": [_container(release, pod)],
        "volumes": [*pod.volumes, {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
    }
    return {"metadata": metadata, "spec": spec}


def priority_class(release: Release, component: Component) -> str:
    """Name the priority of a component: data outlives traffic when a node runs full."""
    return text(release.namespace, "-data" if component.part in {"server", "database"} else "-service")


def _container(release: Release, pod: Pod) -> Object:
    hardened: Object = {
        "imagePullPolicy": release.pull,
        "resources": resources(pod.size, pod.stored),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [*pod.mounts, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the pod's own
    }
    if pod.before_stop:
        hardened["lifecycle"] = {"preStop": pod.before_stop}
    return pod.container | hardened


def _linux() -> Object:
    expression = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
    return {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    }


def _apart(component: Component) -> Object:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": selector(component)}}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}


def _spread(component: Component) -> list[Object]:
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",  # a cluster of one node must take it too
            "labelSelector": {"matchLabels": selector(component)},
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]
