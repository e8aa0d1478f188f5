"""What containers are made of: image, user, file system, environment, resources."""

from __future__ import annotations

import re

from .pod_security import security
from .rule import of_containers
from .snapshot import Object, Pod

FIXED = re.compile(r"@sha256:[0-9a-f]{64}$|:(?!latest$)[\w][\w.-]{0,127}$")
"""A reference that names one image: by digest, or by a tag other than `latest`."""
REVEALING = re.compile(r"(?i)password|token|bearer|secret|^aws_secret_access_key$|^azure_.+key$|^oci_cli_key_content$")
REVEALING_VALUE = re.compile(r"-BEGIN\s+.*PRIVATE KEY-")
LEAST_ID = 10_000


@of_containers(
    "kube-linter/latest-tag",
    "kube-score/container-image-tag",
    "polaris/tagNotSpecified",
    asks="an image by digest or by a tag other than latest",
    remedy="name the image's digest or version",
)
def _image(_: Pod, container: Object) -> str:
    return (
        "" if FIXED.search(container["image"]) else f"runs `{container['image']}`, which may be another image tomorrow"
    )


@of_containers(
    "kube-score/container-image-pull-policy",
    "polaris/pullPolicyNotAlways",
    asks="a node asks the registry whether the pod may have the image",
    remedy="imagePullPolicy: Always",
)
def _pull(_: Pod, container: Object) -> str:
    return "" if container.get("imagePullPolicy") == "Always" else "may run an image that it could not pull"


@of_containers(
    "kube-score/container-security-context-user-group-id",
    asks="a user and a group that are none of the node's",
    remedy="runAsUser and runAsGroup: 10000 or more",
)
def _ids(pod: Pod, container: Object) -> str:
    ids = [security(container).get(key, pod.security.get(key)) for key in ("runAsUser", "runAsGroup")]
    return (
        "" if all(each is not None and (each == 0 or each >= LEAST_ID) for each in ids) else "has a low user or group"
    )


@of_containers(
    "kube-linter/no-read-only-root-fs",
    "kube-score/container-security-context-readonlyrootfilesystem",
    "polaris/notReadOnlyRootFilesystem",
    asks="a root file system that no process writes to",
    remedy="readOnlyRootFilesystem: true",
)
def _read_only(_: Pod, container: Object) -> str:
    return "" if security(container).get("readOnlyRootFilesystem") is True else "can write to its root file system"


@of_containers(
    "polaris/linuxHardening",
    asks="AppArmor, seccomp, SELinux or dropped capabilities restrict the container",
    remedy="seccompProfile.type: RuntimeDefault, capabilities: {drop: [ALL]}",
)
def _hardened(pod: Pod, container: Object) -> str:
    own, shared = security(container), pod.security
    profile = own.get("seccompProfile") or shared.get("seccompProfile") or {"type": "Unconfined"}
    capabilities = own.get("capabilities", {})
    dropped = capabilities.get("drop") and "ALL" not in capabilities.get("add", [])
    restricted = profile["type"] != "Unconfined" or dropped or own.get("seLinuxOptions") or shared.get("seLinuxOptions")
    return "" if restricted else "is restricted by nothing"


@of_containers(
    "kube-linter/duplicate-env-var",
    "kube-score/environment-variable-key-duplication",
    asks="each variable of the environment once",
    remedy="leave one of them out",
)
def _duplicates(_: Pod, container: Object) -> str:
    told = [each["name"] for each in container.get("env", [])]
    twice = sorted({each for each in told if told.count(each) > 1})
    return f"is told {', '.join(twice)} twice" if twice else ""


@of_containers(
    "kube-linter/env-var-secret",
    "polaris/sensitiveContainerEnvVar",
    asks="no variable that looks like a credential has a value",
    remedy="mount the Secret as a file",
)
def _credentials(_: Pod, container: Object) -> str:
    plain = [each for each in container.get("env", []) if each.get("value")]
    shown = [e["name"] for e in plain if REVEALING.search(e["name"]) or REVEALING_VALUE.search(e["value"])]
    return f"has {', '.join(shown)} in its environment" if shown else ""


@of_containers(
    "kube-linter/read-secret-from-env-var",
    asks="secrets are read from files, not from the environment (CIS 5.4.1)",
    remedy="mount the Secret as a volume",
)
def _secrets(_: Pod, container: Object) -> str:
    by_name = any("secretKeyRef" in each.get("valueFrom", {}) for each in container.get("env", []))
    whole = any("secretRef" in each for each in container.get("envFrom", []))
    return "gets a Secret by its environment" if by_name or whole else ""


@of_containers(
    "kube-linter/unset-cpu-requirements",
    "polaris/cpuRequestsMissing",
    asks="a request for CPU",
    remedy="resources.requests.cpu",
)
def _cpu_request(_: Pod, container: Object) -> str:
    return _unset(container, "requests", "cpu")


@of_containers("polaris/cpuLimitsMissing", asks="a limit of CPU", remedy="resources.limits.cpu")
def _cpu_limit(_: Pod, container: Object) -> str:
    return _unset(container, "limits", "cpu")


@of_containers("polaris/memoryRequestsMissing", asks="a request for memory", remedy="resources.requests.memory")
def _memory_request(_: Pod, container: Object) -> str:
    return _unset(container, "requests", "memory")


@of_containers(
    "kube-linter/unset-memory-requirements",
    "polaris/memoryLimitsMissing",
    asks="a limit of memory",
    remedy="resources.limits.memory",
)
def _memory_limit(_: Pod, container: Object) -> str:
    return _unset(container, "limits", "memory")


@of_containers(
    "kube-score/container-resources",
    asks="requests and limits for CPU and memory",
    remedy="resources.requests and resources.limits: cpu and memory",
)
def _resources(_: Pod, container: Object) -> str:
    asked = ((bound, resource) for bound in ("requests", "limits") for resource in ("cpu", "memory"))
    return next((says for bound, resource in asked if (says := _unset(container, bound, resource))), "")


@of_containers(
    "kube-score/container-ephemeral-storage-request-and-limit",
    asks="a request for and a limit of ephemeral storage",
    remedy="resources.requests and resources.limits: ephemeral-storage",
)
def _storage(_: Pod, container: Object) -> str:
    return _unset(container, "requests", "ephemeral-storage") or _unset(container, "limits", "ephemeral-storage")


def _unset(container: Object, bound: str, resource: str) -> str:
    value = container.get("resources", {}).get(bound, {}).get(resource)
    return (
        ""
        if value not in {None, "", "0"}
        else f"{bound} no {resource}"
        if bound == "requests"
        else f"has no limit of {resource}"
    )
