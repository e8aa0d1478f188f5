"""What the API fills into an object where a request leaves it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import uuid4

from onenode.kinds import Object


def with_defaults(body: Object) -> Object:
    """Fill in an object in place, as far as tests or the cluster read what is filled in, and return it."""
    fill = _DEFAULTS.get(body["kind"])
    if fill:
        fill(body)
    return body


def _fill(target: Object, values: Object) -> None:
    for key, value in values.items():
        target.setdefault(key, dict(value) if isinstance(value, dict) else value)


def _pod(spec: Object) -> None:
    _fill(spec, {
        "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
        "securityContext": {}, "terminationGracePeriodSeconds": 30,
    })  # fmt: skip
    if "serviceAccountName" in spec:
        spec["serviceAccount"] = spec["serviceAccountName"]
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        _container(container)
    for volume in spec.get("volumes", ()):
        for source in ("secret", "configMap", "projected"):
            if source in volume:
                _fill(volume[source], {"defaultMode": 0o644})


def _container(container: Object) -> None:
    latest = ":" not in container["image"].rpartition("/")[2] or container["image"].endswith(":latest")
    _fill(container, {
        "imagePullPolicy": "Always" if latest else "IfNotPresent", "resources": {},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
    })  # fmt: skip
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        if name in container:
            _fill(container[name], {
                "failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1,
            })  # fmt: skip
            if "httpGet" in container[name]:
                _fill(container[name]["httpGet"], {"scheme": "HTTP", "path": "/"})


def _template(body: Object) -> None:
    _pod(body["spec"]["template"]["spec"])


def _deployment(body: Object) -> None:
    spec = body["spec"]
    _fill(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600, "strategy": {}})
    _fill(spec["strategy"], {"type": "RollingUpdate", "rollingUpdate": {}})
    _fill(spec["strategy"]["rollingUpdate"], {"maxSurge": "25%", "maxUnavailable": "25%"})
    _template(body)


def _stateful_set(body: Object) -> None:
    _fill(body["spec"], {
        "replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    })  # fmt: skip
    _template(body)
    for claim in body["spec"].get("volumeClaimTemplates", ()):
        _fill(claim, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": "Pending"}})
        _claim(claim)


def _job(body: Object) -> None:
    spec, metadata = body["spec"], body["metadata"]
    _fill(spec, {
        "backoffLimit": 6, "completionMode": "NonIndexed", "completions": 1, "parallelism": 1, "suspend": False,
        "manualSelector": False, "podReplacementPolicy": "TerminatingOrFailed",
    })  # fmt: skip
    uid, name = metadata.setdefault("uid", str(uuid4())), metadata["name"]
    _fill(spec, {"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}})
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for place in (labels, metadata.setdefault("labels", {})):
        for prefix in ("", "batch.kubernetes.io/"):
            _fill(place, {f"{prefix}controller-uid": uid, f"{prefix}job-name": name})
    _template(body)


def _service(body: Object) -> None:
    _fill(body["spec"], {
        "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
    })  # fmt: skip
    for port in body["spec"].get("ports", ()):
        _fill(port, {"protocol": "TCP", "targetPort": port["port"]})


def _claim(body: Object) -> None:
    _fill(body["spec"], {"volumeMode": "Filesystem"})


def _namespace(body: Object) -> None:
    _fill(body.setdefault("spec", {}), {"finalizers": ["kubernetes"]})
    body["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = body["metadata"]["name"]
    _fill(body, {"status": {"phase": "Active"}})


_DEFAULTS: Mapping[str, Callable[[Object], object]] = {
    "Pod": lambda body: _pod(body["spec"]), "Deployment": _deployment, "ReplicaSet": _template,
    "StatefulSet": _stateful_set, "Job": _job, "Service": _service, "PersistentVolumeClaim": _claim,
    "Namespace": _namespace, "Secret": lambda body: body.setdefault("type", "Opaque"),
}  # fmt: skip
