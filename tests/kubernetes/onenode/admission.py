"""What the API does not let in: names, what may not change, Pod Security, quotas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from onenode.kinds import Kind, Object
from onenode.quantities import amount
from onenode.selectors import selects
from onenode.statuses import forbidden, invalid, terminating
from onenode.store import Store

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_IMMUTABLE: Mapping[str, tuple[str, ...]] = {
    "Deployment": ("spec.selector",),
    "ReplicaSet": ("spec.selector",),
    "StatefulSet": ("spec.selector", "spec.serviceName", "spec.volumeClaimTemplates", "spec.podManagementPolicy"),
    "Job": ("spec.selector", "spec.template.spec", "spec.completions"),
    "PersistentVolumeClaim": ("spec.storageClassName", "spec.accessModes"),
    "Pod": ("spec.containers", "spec.volumes", "spec.nodeName"),
    "PriorityClass": ("value", "preemptionPolicy"),
}
_PROFILE = 'pod or container{s} {names} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
_STS = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def check_place(store: Store, kind: Kind, namespace: str, name: str) -> None:
    """Refuse an object in a namespace that is not there or is going away."""
    if kind.namespaced and "deletionTimestamp" in store.get("Namespace", "", namespace)["metadata"]:
        raise terminating(kind, name, namespace)


def check_new(store: Store, kind: Kind, body: Object) -> None:
    """Refuse a new object that has a wrong name, an unsafe pod, or is one too many."""
    name = body["metadata"]["name"]
    if not _NAME.fullmatch(name):
        raise invalid(kind, name, "metadata.name", f'Invalid value: "{name}": {_RULE}')
    if kind.name == "Pod":
        _check_priority(store, kind, body)
        _check_safe(store, kind, body)
    _check_quota(store, kind, body)


def check_change(kind: Kind, before: Object, after: Object) -> None:
    """Refuse a change of what may not change."""
    for path in _IMMUTABLE.get(kind.name, ()):
        was, wanted = _at(before, path), _at(after, path)
        if was == wanted:
            continue
        name = after["metadata"]["name"]
        if kind.name == "StatefulSet":
            raise invalid(kind, name, "spec", f"Forbidden: {_STS}", "FieldValueForbidden")
        raise invalid(
            kind, name, path, f"Invalid value: {json.dumps(wanted, separators=(',', ':'))}: field is immutable"
        )


def _at(body: Any, path: str) -> Any:  # noqa: ANN401 - JSON
    for part in path.split("."):
        body = body.get(part) if isinstance(body, dict) else None
    return body


def check_selector(kind: Kind, body: Object) -> None:
    """Refuse a controller that would not know its own pods."""
    spec = body.get("spec", {})
    if kind.name in {"Deployment", "ReplicaSet", "StatefulSet"}:
        labels = spec["template"].get("metadata", {}).get("labels", {})
        if not selects(spec["selector"], labels):
            found = json.dumps(labels, separators=(",", ":"))
            said = f"Invalid value: {found}: `selector` does not match template `labels`"
            raise invalid(kind, body["metadata"]["name"], "spec.template.metadata.labels", said)


def _check_priority(store: Store, kind: Kind, body: Object) -> None:
    wanted = body["spec"].get("priorityClassName", "")
    if wanted and not wanted.startswith("system-") and store.find("PriorityClass", "", wanted) is None:
        raise forbidden(kind, body["metadata"]["name"], f"no PriorityClass with name {wanted} was found")


def _check_safe(store: Store, kind: Kind, body: Object) -> None:
    namespace = store.get("Namespace", "", body["metadata"]["namespace"])
    level = namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce")
    wrong = list(violations(body["spec"])) if level == "restricted" else []
    if wrong:
        why = f'violates PodSecurity "restricted:latest": {", ".join(wrong)}'
        raise forbidden(kind, body["metadata"]["name"], why)


def violations(spec: Object) -> Iterator[str]:
    """Give what Pod Security `restricted` finds in a pod, in its words and order."""
    pod = spec.get("securityContext", {})
    containers = [(each["name"], each.get("securityContext", {})) for each in _containers(spec)]
    rules = (
        ("privileged", "container{s} {names} must not set securityContext.privileged=true",
         [name for name, own in containers if own.get("privileged")]),
        ("allowPrivilegeEscalation != false",
         "container{s} {names} must set securityContext.allowPrivilegeEscalation=false",
         [name for name, own in containers if own.get("allowPrivilegeEscalation") is not False]),
        ("unrestricted capabilities", 'container{s} {names} must set securityContext.capabilities.drop=["ALL"]',
         [name for name, own in containers if "ALL" not in own.get("capabilities", {}).get("drop", ())]),
        ("runAsNonRoot != true", "pod or container{s} {names} must set securityContext.runAsNonRoot=true",
         [name for name, own in containers if not own.get("runAsNonRoot", pod.get("runAsNonRoot"))]),
        ("runAsUser=0", "container{s} {names} must not set runAsUser=0",
         [name for name, own in containers if own.get("runAsUser", pod.get("runAsUser")) == 0]),
        ("seccompProfile", _PROFILE,
         [name for name, own in containers if "type" not in own.get("seccompProfile", pod.get("seccompProfile", {}))]),
    )  # fmt: skip
    for rule, said, names in rules:
        if names:
            listed = ", ".join(f'"{name}"' for name in names)
            yield f"{rule} ({said.replace('{s}', 's' if len(names) > 1 else '').replace('{names}', listed)})"
    paths = [each["name"] for each in spec.get("volumes", ()) if "hostPath" in each]
    if paths:
        listed = ", ".join(f'"{name}"' for name in paths)
        noun = "volumes" if len(paths) > 1 else "volume"
        yield f'restricted volume types ({noun} {listed} uses restricted volume type "hostPath")'


def _containers(spec: Object) -> Iterable[Object]:
    return (*spec.get("initContainers", ()), *spec.get("containers", ()))


def _check_quota(store: Store, kind: Kind, body: Object) -> None:
    namespace = body["metadata"].get("namespace", "")
    asked = usage(kind.name, body)
    for quota in store.list("ResourceQuota", namespace) if namespace else ():
        hard = quota["spec"].get("hard", {})
        used = used_of(store, namespace, hard)
        over = [key for key in sorted(hard) if asked.get(key) and used[key] + asked[key] > amount(hard[key])]
        if over:
            parts = [
                f"{word}: " + ",".join(f"{key}={_spoken(key, values[key])}" for key in over)
                for word, values in (("requested", asked), ("used", used))
            ]
            limited = "limited: " + ",".join(f"{key}={hard[key]}" for key in over)
            why = f"exceeded quota: {quota['metadata']['name']}, {', '.join((*parts, limited))}"
            raise forbidden(kind, body["metadata"]["name"], why)


def used_of(store: Store, namespace: str, hard: Mapping[str, str]) -> Mapping[str, float]:
    """Add up what a namespace uses of the resources that a quota limits."""
    total = dict.fromkeys(hard, 0.0)
    for body in store.namespaced(namespace):
        for key, value in usage(body["kind"], body).items():
            if key in total:
                total[key] += value
    return total


def usage(kind: str, body: Object) -> Mapping[str, float]:
    """Give what one object takes of a quota."""
    if kind == "Pod":
        if body.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
            return {}
        found = {"pods": 1.0, "count/pods": 1.0}
        for container in body["spec"].get("containers", ()):
            for how, values in container.get("resources", {}).items():
                for name, value in values.items():
                    found[f"{how}.{name}"] = found.get(f"{how}.{name}", 0.0) + amount(value)
        return found
    plural = {
        "Secret": "secrets",
        "ConfigMap": "configmaps",
        "Service": "services",
        "PersistentVolumeClaim": "persistentvolumeclaims",
    }
    name = plural.get(kind, "")
    return {name: 1.0, f"count/{name}": 1.0} if name else {}


def _spoken(key: str, value: float) -> str:
    if key.endswith("cpu"):
        return f"{round(value * 1000)}m" if value % 1 else str(int(value))
    mebi = 1024 * 1024
    return f"{int(value // mebi)}Mi" if key.endswith("memory") and value and value % mebi == 0 else str(int(value))
