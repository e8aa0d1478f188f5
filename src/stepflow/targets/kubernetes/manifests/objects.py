"""Objects that any component has, whatever runs in its pods: identity, address, budget, controller."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from .model import Component, Object, Release
from .names import CONFIGS, SECRETS, dns_label, hashed, headless_name, metadata, selector
from .pod import Pod, template
from .slot import content_name


def service_account(release: Release, component: Component) -> Object:
    """Return an identity of its own, without a token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(release, component),
        "automountServiceAccountToken": False,
    }


def service(release: Release, component: Component, ports: Mapping[str, int]) -> Object:
    """Return the Service of a component."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(release, component),
        "spec": {"type": "ClusterIP", "selector": selector(component), "ports": _ports(ports)},
    }


def headless(release: Release, component: Component, ports: Mapping[str, int]) -> Object:
    """Return the Service that names each pod of a StatefulSet, also while it starts."""
    spec: Object = {"type": "ClusterIP", "clusterIP": "None", "publishNotReadyAddresses": True}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(release, component, headless_name(component)),
        "spec": spec | {"selector": selector(component), "ports": _ports(ports)},
    }


def config_map(release: Release, component: Component, data: Mapping[str, str]) -> Object:
    """Return the configuration files of a component.

    It is called after its content and never changes: other files roll the pods, and pods that go back to an earlier
    template find the files of that.
    """
    name = content_name(hashed(component.name, json.dumps(dict(data), sort_keys=True)), data)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(release, component, name),
        "immutable": True,
        "data": dict(data),
    }


def budget(release: Release, component: Component) -> Object:
    """Let a drain take one pod at a time, and never be held up by a pod that is not ready."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(release, component),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector(component)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def deployment(release: Release, pod: Pod, replicas: int) -> Object:
    """Return a Deployment that replaces pods without losing one."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _about(release, pod),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector(pod.component)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "minReadySeconds": 2,
            "progressDeadlineSeconds": 300,
            "revisionHistoryLimit": 5,
            "template": template(release, pod),
        },
    }


def stateful_set(release: Release, pod: Pod, replicas: int, claims: Mapping[str, str]) -> Object:
    """Return a StatefulSet whose pods keep their volumes (claim -> size); deleting the set keeps the data."""
    spec: Object = {
        "replicas": replicas,
        "serviceName": headless_name(pod.component),
        "podManagementPolicy": "Parallel",
        "minReadySeconds": 2,
        "revisionHistoryLimit": 5,
        "updateStrategy": {"type": "RollingUpdate"},
        "selector": {"matchLabels": selector(pod.component)},
        "template": template(release, pod),
    }
    if claims:
        spec["persistentVolumeClaimRetentionPolicy"] = {"whenDeleted": "Retain", "whenScaled": "Retain"}
        spec["volumeClaimTemplates"] = [_claim(release, pod, name, size) for name, size in claims.items()]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _about(release, pod),
        "spec": spec,
    }


def secret_volumes(secrets: Mapping[str, Iterable[str]]) -> tuple[list[Object], list[Object]]:
    """Return the volumes and mounts of keys of Secrets (name -> keys), which only the pod's group can read."""
    volumes: list[Object] = []
    mounts: list[Object] = []
    for secret in sorted(secrets):
        items = [{"key": key, "path": key} for key in sorted(secrets[secret])]
        name = dns_label(f"file-{secret}")
        volumes.append({"name": name, "secret": {"secretName": secret, "items": items, "defaultMode": 0o440}})
        mounts.append({"name": name, "mountPath": f"{SECRETS}/{secret}", "readOnly": True})
    return volumes, mounts


def config_volume(config_map: Object) -> tuple[Object, Object]:
    """Return the volume and the mount of the files of a ConfigMap."""
    volume = {"name": "config", "configMap": {"name": config_map["metadata"]["name"]}}
    return volume, {"name": "config", "mountPath": CONFIGS, "readOnly": True}


def _claim(release: Release, pod: Pod, name: str, size: str) -> Object:
    meta = metadata(release, pod.component, name)
    spec: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    if release.values.storage.storage_class:
        spec["storageClassName"] = release.values.storage.storage_class
    return {"metadata": {"name": name, "labels": meta["labels"]}, "spec": spec}


def _about(release: Release, pod: Pod) -> Object:
    return metadata(release, pod.component) | ({"annotations": dict(pod.about)} if pod.about else {})


def _ports(ports: Mapping[str, int]) -> list[Object]:
    return [{"name": name, "port": number, "targetPort": name, "protocol": "TCP"} for name, number in ports.items()]
