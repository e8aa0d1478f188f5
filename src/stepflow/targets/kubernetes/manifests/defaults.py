"""What the API writes into an object where its manifest says nothing. Pure.

As a real 1.36 answered (`tests/kubernetes/recorded`), and by the defaults of the API reference, 1.33 to 1.37. A path
names fields from the object's root, `[]` the items of a list; `_ANY` is a value that the cluster chooses.
"""

from __future__ import annotations

from collections.abc import Mapping

from stepflow.targets.kubernetes.api.kinds import Object

_ANY = object()
_PROBE: Mapping[str, object] = {
    "failureThreshold": 3,
    "periodSeconds": 10,
    "successThreshold": 1,
    "timeoutSeconds": 1,
    "httpGet.path": "/",
    "httpGet.scheme": "HTTP",
}
_CONTAINER: Mapping[str, object] = {
    "imagePullPolicy": _ANY,
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "ports[].protocol": "TCP",
    "env[].valueFrom.fieldRef.apiVersion": "v1",
    "lifecycle.preStop.httpGet.scheme": "HTTP",
    **{
        f"{probe}Probe.{field}": value
        for probe in ("startup", "readiness", "liveness")
        for field, value in _PROBE.items()
    },
}
_POD: Mapping[str, object] = {
    "dnsPolicy": "ClusterFirst",
    "enableServiceLinks": True,
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "serviceAccount": _ANY,  # the old name of `serviceAccountName`, which is compared
    "terminationGracePeriodSeconds": 30,
    "volumes[].configMap.defaultMode": 0o644,
    "volumes[].secret.defaultMode": 0o644,
    **{f"containers[].{field}": value for field, value in _CONTAINER.items()},
}
_TEMPLATE: Mapping[str, object] = {f"spec.template.spec.{field}": value for field, value in _POD.items()}
_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "Deployment": {
        "spec.progressDeadlineSeconds": 600,
        "spec.replicas": _ANY,  # compared by itself: an autoscaler may have taken it over
        "spec.revisionHistoryLimit": 10,
        "spec.strategy.type": "RollingUpdate",
        "spec.strategy.rollingUpdate.maxSurge": "25%",
        "spec.strategy.rollingUpdate.maxUnavailable": "25%",
        **_TEMPLATE,
    },
    "StatefulSet": {
        "spec.persistentVolumeClaimRetentionPolicy.whenDeleted": "Retain",
        "spec.persistentVolumeClaimRetentionPolicy.whenScaled": "Retain",
        "spec.podManagementPolicy": "OrderedReady",
        "spec.revisionHistoryLimit": 10,
        "spec.updateStrategy.type": "RollingUpdate",
        "spec.updateStrategy.rollingUpdate.maxUnavailable": 1,
        "spec.updateStrategy.rollingUpdate.partition": 0,
        "spec.volumeClaimTemplates[].apiVersion": "v1",
        "spec.volumeClaimTemplates[].kind": "PersistentVolumeClaim",
        "spec.volumeClaimTemplates[].spec.volumeMode": "Filesystem",
        "spec.volumeClaimTemplates[].status": _ANY,
        **_TEMPLATE,
    },
    "Job": {
        "spec.backoffLimit": 6,
        "spec.completionMode": "NonIndexed",
        "spec.manualSelector": False,
        "spec.podReplacementPolicy": "TerminatingOrFailed",
        "spec.selector": _ANY,
        "spec.suspend": False,
        **_TEMPLATE,
    },
    "Service": {
        "spec.clusterIP": _ANY,
        "spec.clusterIPs": _ANY,
        "spec.internalTrafficPolicy": "Cluster",
        "spec.ipFamilies": _ANY,
        "spec.ipFamilyPolicy": _ANY,
        "spec.sessionAffinity": "None",
        "spec.type": "ClusterIP",
        "spec.ports[].protocol": "TCP",
        "spec.ports[].targetPort": _ANY,
    },
    "NetworkPolicy": {
        "spec.ingress[].ports[].protocol": "TCP",
        "spec.egress[].ports[].protocol": "TCP",
    },
    "HTTPRoute": {
        "spec.parentRefs[].group": "gateway.networking.k8s.io",
        "spec.parentRefs[].kind": "Gateway",
        "spec.rules[].backendRefs[].group": "",
        "spec.rules[].backendRefs[].kind": "Service",
        "spec.rules[].backendRefs[].weight": 1,
    },
    "Ingress": {"spec.ingressClassName": _ANY},  # of the cluster's default class
    "Namespace": {"spec.finalizers": _ANY},
    "Secret": {"type": "Opaque"},
    "ServiceAccount": {"imagePullSecrets": _ANY, "secrets": _ANY},  # which some clusters put there
}


def is_default(kind: str, path: str, value: object) -> bool:
    """Return whether a field that a manifest does not have is what the API writes there by itself."""
    known = _DEFAULTS.get(kind, {})
    if path in known:
        return known[path] is _ANY or (known[path] == value and type(known[path]) is type(value))
    if isinstance(value, dict) and value:
        return all(is_default(kind, f"{path}.{name}", inner) for name, inner in value.items())
    return False


def managed_by_others(there: Object) -> tuple[Object, ...] | None:
    """Return the fields that others manage, a tree for each (`fieldsV1`); None where the object does not tell.

    A field without a manager was written by the API itself.
    https://kubernetes.io/docs/reference/using-api/server-side-apply
    """
    entries = there["metadata"].get("managedFields")
    if not entries:
        return None
    others = (each for each in entries if not str(each.get("manager", "")).startswith("stepflow"))
    return tuple(each.get("fieldsV1") or {} for each in others if not each.get("subresource"))
