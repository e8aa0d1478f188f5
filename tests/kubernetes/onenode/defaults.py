"""What the API writes into an object where nobody said it, as far as the cluster or its users look at it."""

from __future__ import annotations

from uuid import uuid4

from onenode.kinds import Object

_PROBE = {"failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1}
_POD = {
    "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
    "securityContext": {}, "terminationGracePeriodSeconds": 30,
}  # fmt: skip
_ROLLING = {"maxSurge": "25%", "maxUnavailable": "25%"}


def with_defaults(body: Object) -> Object:
    """Fill an object in; it is changed and given back."""
    fill = _BY_KIND.get(body["kind"])
    if fill:
        fill(body.setdefault("spec", {}), body)
    return body


def _fill(target: Object, values: Object) -> None:
    for key, value in values.items():
        target.setdefault(key, dict(value) if isinstance(value, dict) else value)


def _pod(spec: Object, _: Object | None = None) -> None:
    _fill(spec, _POD)
    if "serviceAccountName" in spec:
        spec["serviceAccount"] = spec["serviceAccountName"]
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        latest = ":" not in container.get("image", "").rpartition("/")[2] or container["image"].endswith(":latest")
        _fill(container, {
            "imagePullPolicy": "Always" if latest else "IfNotPresent", "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        })  # fmt: skip
        for port in container.get("ports", ()):
            port.setdefault("protocol", "TCP")
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            if name in container:
                _fill(container[name], _PROBE)
                if "httpGet" in container[name]:
                    _fill(container[name]["httpGet"], {"scheme": "HTTP", "path": "/"})
    for volume in spec.get("volumes", ()):
        for source in ("secret", "configMap", "projected"):
            if source in volume:
                _fill(volume[source], {"defaultMode": 0o644})


def _deployment(spec: Object, _: Object) -> None:
    _fill(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600, "strategy": {}})
    _fill(spec["strategy"], {"type": "RollingUpdate"})
    if spec["strategy"]["type"] == "RollingUpdate":
        _fill(spec["strategy"], {"rollingUpdate": {}})
        _fill(spec["strategy"]["rollingUpdate"], _ROLLING)
    _pod(spec["template"].setdefault("spec", {}))


def _replica_set(spec: Object, _: Object) -> None:
    _fill(spec, {"replicas": 1})
    _pod(spec["template"].setdefault("spec", {}))


def _stateful_set(spec: Object, _: Object) -> None:
    _fill(spec, {
        "replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    })  # fmt: skip
    _pod(spec["template"].setdefault("spec", {}))
    for claim in spec.get("volumeClaimTemplates", ()):
        _fill(claim, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": "Pending"}})
        _claim(claim["spec"], claim)


def _job(spec: Object, body: Object) -> None:
    _fill(spec, {
        "backoffLimit": 6, "completionMode": "NonIndexed", "completions": 1, "parallelism": 1, "suspend": False,
        "manualSelector": False, "podReplacementPolicy": "TerminatingOrFailed",
    })  # fmt: skip
    uid, name = body["metadata"].setdefault("uid", str(uuid4())), body["metadata"]["name"]
    _fill(spec, {"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}})
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for place in (labels, body["metadata"].setdefault("labels", {})):
        for prefix in ("", "batch.kubernetes.io/"):
            _fill(place, {f"{prefix}controller-uid": uid, f"{prefix}job-name": name})
    _pod(spec["template"].setdefault("spec", {}))


def _service(spec: Object, _: Object) -> None:
    _fill(spec, {
        "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
    })  # fmt: skip
    for port in spec.get("ports", ()):
        _fill(port, {"protocol": "TCP", "targetPort": port["port"]})


def _claim(spec: Object, _: Object) -> None:
    _fill(spec, {"volumeMode": "Filesystem"})


def _namespace(spec: Object, body: Object) -> None:
    _fill(spec, {"finalizers": ["kubernetes"]})
    body["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = body["metadata"]["name"]
    _fill(body, {"status": {"phase": "Active"}})


def _secret(_: Object, body: Object) -> None:
    if not body["spec"]:
        del body["spec"]
    body.setdefault("type", "Opaque")


_BY_KIND = {
    "Pod": _pod, "Deployment": _deployment, "ReplicaSet": _replica_set, "StatefulSet": _stateful_set, "Job": _job,
    "Service": _service, "PersistentVolumeClaim": _claim, "Namespace": _namespace, "Secret": _secret,
}  # fmt: skip
