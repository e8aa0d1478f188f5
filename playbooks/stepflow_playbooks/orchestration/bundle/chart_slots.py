"""Where in an object the chart's own values go: counts, sizes, and fields that are there only if a value is set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

from stepflow.targets.kubernetes.bundle import Object, Slot, quoted

from .yaml_writer import MERGE, JsonSlot


def with_values(item: Object) -> Object:
    """Return a copy of an object with slots for the chart's values."""
    fill = _FILLS.get(item["kind"])
    if fill is None:
        return item
    filled = deepcopy(item)
    fill(filled)
    return filled


def _optional(field: str, value: str) -> JsonSlot:
    """Return the value of a key `<<`: the field, if the chart's value for it is not empty."""
    return JsonSlot("", f"ternary (dict) (dict {quoted(field)} {value}) (empty {value})")


def _scaler(item: Object) -> None:
    spec, copies = item["spec"], f".Values.copies {quoted(item['spec']['scaleTargetRef']['name'])}"
    spec["minReplicas"] = JsonSlot(str(spec["minReplicas"]), f'index {copies} "least"')
    spec["maxReplicas"] = JsonSlot(str(spec["maxReplicas"]), f'index {copies} "most"')
    for metric in spec["metrics"]:
        if metric["type"] == "Resource":
            target = metric["resource"]["target"]
            target["averageUtilization"] = JsonSlot(str(target["averageUtilization"]), ".Values.cpuPercent")


def _deployment(item: Object) -> None:
    spec, copies = item["spec"], f".Values.copies {quoted(item['metadata']['name'])}"
    if "replicas" in spec:
        spec["replicas"] = JsonSlot(str(spec["replicas"]), f'index {copies} "least"')


def _stateful_set(item: Object) -> None:
    size = f"index .Values.storage.sizes {quoted(item['metadata']['name'])}"
    for claim in item["spec"].get("volumeClaimTemplates", ()):
        requests = claim["spec"]["resources"]["requests"]
        requests["storage"] = Slot(requests["storage"], size)
        claim["spec"][MERGE] = _optional("storageClassName", ".Values.storage.class")


def _ingress(item: Object) -> None:
    item["metadata"][MERGE] = _optional("annotations", ".Values.entry.annotations")
    item["spec"]["tls"][0][MERGE] = _optional("secretName", ".Values.entry.tlsSecret")
    item["spec"][MERGE] = _optional("ingressClassName", ".Values.entry.ingressClass")


def _quota(item: Object) -> None:
    item["spec"]["hard"] = JsonSlot("", ".Values.quota")


_FILLS: Mapping[str, Callable[[Object], None]] = {
    "Deployment": _deployment,
    "HorizontalPodAutoscaler": _scaler,
    "Ingress": _ingress,
    "ResourceQuota": _quota,
    "StatefulSet": _stateful_set,
}
