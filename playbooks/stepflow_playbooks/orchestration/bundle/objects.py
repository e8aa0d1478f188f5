"""Objects that every component has, whatever runs in its pods: identity, address, budget, controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .model import Object, Platform
from .names import metadata, selector
from .pod import Pod, template

PERCENT_FAST = 100
"""Scaling up may double the copies every 15 seconds; scaling down takes a tenth a minute, after five quiet minutes."""


def service_account(platform: Platform, component: str, part: str) -> Object:
    """Give an identity of its own, without a token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(platform, component, part=part),
        "automountServiceAccountToken": False,
    }


def service(
    platform: Platform, component: str, ports: Mapping[str, int], part: str, *, headless: bool = False
) -> Object:
    """Give a Service; headless ones name each pod of a StatefulSet, also while it starts."""
    spec: Object = {
        "type": "ClusterIP",
        "selector": selector(component),
        "ports": [
            {"name": name, "port": number, "targetPort": name, "protocol": "TCP"} for name, number in ports.items()
        ],
    }
    if headless:
        spec |= {"clusterIP": "None", "publishNotReadyAddresses": True}
    name = f"{component}-pods" if headless else component
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(platform, name, component, part=part),
        "spec": spec,
    }


def config_map(platform: Platform, component: str, data: Mapping[str, str], part: str) -> Object:
    """Give the configuration files of a component; a pod sees them as files."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(platform, f"{component}-config", component, part=part),
        "data": dict(data),
    }


def budget(platform: Platform, component: str, part: str) -> Object:
    """Let a drain take one pod at a time, and never be held up by a pod that is ill anyway."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(platform, component, part=part),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector(component)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def deployment(platform: Platform, pod: Pod, replicas: int | None) -> Object:
    """Give a Deployment that replaces pods without losing one; `replicas` None leaves the count to an autoscaler."""
    spec: Object = {
        "selector": {"matchLabels": selector(pod.component)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "minReadySeconds": 5,
        "progressDeadlineSeconds": 300,
        "revisionHistoryLimit": 5,
        "template": template(platform, pod),
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(platform, pod.component, part=pod.part),
        "spec": spec,
    }


def stateful_set(platform: Platform, pod: Pod, replicas: int, claims: Mapping[str, str]) -> Object:
    """Give a StatefulSet whose pods keep their volumes (claim name -> size); deleting the set keeps the data."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(platform, pod.component, part=pod.part),
        "spec": {
            "replicas": replicas,
            "serviceName": f"{pod.component}-pods",
            "podManagementPolicy": "Parallel",
            "minReadySeconds": 5,
            "revisionHistoryLimit": 5,
            "updateStrategy": {"type": "RollingUpdate"},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "selector": {"matchLabels": selector(pod.component)},
            "template": template(platform, pod),
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": name},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
                }
                for name, size in claims.items()
            ],
        },
    }


def autoscaler(platform: Platform, component: str, part: str, copies: tuple[int, int]) -> Object:
    """Give a HorizontalPodAutoscaler: fast up, slow down."""
    up = [
        {"type": "Percent", "value": PERCENT_FAST, "periodSeconds": 15},
        {"type": "Pods", "value": 2, "periodSeconds": 15},
    ]
    down = [{"type": "Percent", "value": 10, "periodSeconds": 60}, {"type": "Pods", "value": 1, "periodSeconds": 60}]
    target = {"type": "Utilization", "averageUtilization": platform.scale.cpu_target}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(platform, component, part=part),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": component},
            "minReplicas": copies[0],
            "maxReplicas": copies[1],
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": up},
                "scaleDown": {"stabilizationWindowSeconds": 300, "selectPolicy": "Max", "policies": down},
            },
        },
    }


def secret_volume(name: str, keys: Sequence[str]) -> Object:
    """Give a volume of a Secret's keys, readable by the pod's group only."""
    items = [{"key": key, "path": key} for key in keys]
    return {"name": name, "secret": {"secretName": name, "items": items, "defaultMode": 0o440}}
