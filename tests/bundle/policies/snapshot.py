"""Rendered objects as the rules see them: by kind, by pod, and by selector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Object = dict[str, Any]
_OPERATORS: dict[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod template of a controller."""

    owner: Object
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Object

    @property
    def lasting(self) -> Sequence[Object]:
        """Return the containers without init containers."""
        found: list[Object] = self.spec.get("containers", [])
        return found

    @property
    def containers(self) -> Sequence[Object]:
        """Return all containers."""
        return [*self.spec.get("initContainers", []), *self.lasting]

    @property
    def is_job(self) -> bool:
        """Return whether its pods run to completion."""
        return bool(self.owner["kind"] == "Job")

    @property
    def security(self) -> Object:
        """Return the security context of the pod."""
        found: Object = self.spec.get("securityContext", {})
        return found


class Snapshot:
    """All objects of a platform."""

    def __init__(self, objects: Sequence[Object]) -> None:
        self.objects = objects

    def of(self, *kinds: str) -> Iterator[Object]:
        """Return the objects of these kinds, in order."""
        return (item for item in self.objects if item["kind"] in kinds)

    def names(self, kind: str) -> set[tuple[str, str]]:
        """Return namespace and name of the objects of a kind."""
        return {(namespace(item), name(item)) for item in self.of(kind)}

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        """Return the pod templates of all controllers, in order."""
        found = []
        for item in self.of("Deployment", "StatefulSet", "Job"):
            template = item["spec"]["template"]
            meta = template.get("metadata", {})
            found.append(Pod(item, meta.get("labels", {}), meta.get("annotations", {}), template["spec"]))
        return tuple(found)

    def selected(self, space: str, selector: Object | None) -> tuple[Pod, ...]:
        """Return the pods of a namespace that a label selector selects; an empty selector selects all."""
        return tuple(pod for pod in self.pods if namespace(pod.owner) == space and picks(selector, pod.labels))

    def behind(self, service: Object) -> tuple[Pod, ...]:
        """Return the pods behind a Service; one without a selector has none."""
        chosen = service["spec"].get("selector")
        return self.selected(namespace(service), {"matchLabels": chosen}) if chosen else ()

    def has_service(self, pod: Pod) -> bool:
        """Return whether a Service selects the pod."""
        return any(pod in self.behind(service) for service in self.of("Service"))

    def autoscaler(self, controller: Object) -> Object | None:
        """Return the autoscaler that targets a controller."""
        wanted = (controller["apiVersion"], controller["kind"], name(controller))
        for item in self.of("HorizontalPodAutoscaler"):
            target = item["spec"]["scaleTargetRef"]
            if (target.get("apiVersion"), target["kind"], target["name"]) == wanted:
                return item
        return None

    def least(self, controller: Object) -> int:
        """Return the minimum number of replicas: an autoscaler's, or else the declared one."""
        scaler = self.autoscaler(controller)
        return int(scaler["spec"].get("minReplicas", 1) if scaler else controller["spec"].get("replicas", 1))


def name(item: Object) -> str:
    """Return an object's name."""
    return str(item["metadata"]["name"])


def namespace(item: Object) -> str:
    """Return an object's namespace; "" for a cluster-wide object and the default namespace."""
    return str(item["metadata"].get("namespace", ""))


def picks(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector (Kubernetes' LabelSelector) matches the labels; None matches nothing."""
    if selector is None:
        return False
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return exact and all(
        _OPERATORS[each["operator"]](labels.get(each["key"]), each.get("values", []))
        for each in selector.get("matchExpressions", [])
    )
