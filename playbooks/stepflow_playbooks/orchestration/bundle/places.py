"""Where in an object a chart's values go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepflow.targets.kubernetes.manifests.model import Object

from .expressions import Expressions, literal
from .model import Bundle

_INSTANCE = "app.kubernetes.io/instance"
_BY_CONTENT = ("ConfigMap", "Job")
"""Kinds whose objects are called after what is in them."""


@dataclass(frozen=True, slots=True)
class Names:
    """What has another name with other values: objects called after their content, and images."""

    objects: Mapping[str, str]  # name -> word
    images: Mapping[str, str]  # reference -> word

    @classmethod
    def of(
        cls,
        words: Expressions,
        bundle: Bundle,
        anywhere: Bundle,
        found: Sequence[Object],
        *variants: Sequence[Object],
    ) -> Names:
        """Give the names of a bundle's objects and images, as they are in it and in its variants."""
        images = {ref: words.word(_image(name)) for name, ref in anywhere.images().items()}
        objects: dict[str, str] = {}
        for item in (item for item in found if item["kind"] in _BY_CONTENT):
            word = words.word(_name(bundle, item))
            same = (each for others in variants for each in others if cls.identity(each) == cls.identity(item))
            objects |= {each["metadata"]["name"]: word for each in same}
        return cls(objects, images)

    @staticmethod
    def identity(item: Object) -> tuple[str, str]:
        """Tell an object from others of its namespace, whatever values went into it."""
        by_content = item["kind"] in _BY_CONTENT
        meta = item["metadata"]
        return item["kind"], meta["labels"]["app.kubernetes.io/name"] if by_content else meta["name"]


def chosen(words: Expressions, condition: str, names: Names, without: Any, given: Any) -> Any:  # noqa: ANN401 - JSON
    """Give an object whose texts depend on a condition; what differs must be texts."""
    if isinstance(without, dict):
        assert without.keys() == given.keys(), "the condition adds or removes a field"
        return {key: chosen(words, condition, names, without[key], given[key]) for key in without}
    if isinstance(without, list):
        pairs = zip(without, given, strict=True)
        return [chosen(words, condition, names, one, other) for one, other in pairs]
    if without == given or (without in names.objects and names.objects[without] == names.objects.get(given)):
        return without
    return words.word(f"ternary {words.operand(given)} {words.operand(without)} (not (empty {condition}))")


def filled(words: Expressions, names: Names, item: Object) -> Object:
    """Put the values into an object."""
    made: Object = _walked(words, names, "", item)
    place = _PLACES.get(item["kind"])
    if place:
        place(words, made)
    return made


def _walked(words: Expressions, names: Names, key: str, value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        return {name: _walked(words, names, name, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_walked(words, names, key, inner) for inner in value]
    if key == "imagePullPolicy":
        return words.word(".Values.pullPolicy")
    if key == "image":
        return names.images[value]
    return names.objects.get(value, value) if key in {"name", _INSTANCE} else value


def _image(name: str) -> str:
    return f'include "platform.image" (index .Values.images {literal(name)})'


def _name(bundle: Bundle, item: Object) -> str:
    """Give the name of an object whose content values change: as it is with the chart's own, else with another end."""
    made, now = [bundle.namespace, ""], [".Release.Namespace", ".Values.entry.host"]
    if item["kind"] == "Job":
        (container,) = item["spec"]["template"]["spec"]["containers"]
        (name,) = (name for name, reference in bundle.images().items() if reference == container["image"])
        made += [container["image"], container["imagePullPolicy"]]
        now += [f"({_image(name)})", ".Values.pullPolicy"]
    own = f"(list {' '.join(literal(part) for part in made)})"
    return f'include "platform.named" (list {literal(item["metadata"]["name"])} {own} (list {" ".join(now)}))'


def _scaler(words: Expressions, item: Object) -> None:
    copies = f".Values.copies {literal(item['spec']['scaleTargetRef']['name'])}"
    item["spec"]["minReplicas"] = words.word(f'index {copies} "least"')
    item["spec"]["maxReplicas"] = words.word(f'index {copies} "most"')
    for metric in item["spec"]["metrics"]:
        if metric["type"] == "Resource":
            metric["resource"]["target"]["averageUtilization"] = words.word(".Values.cpuPercent")


def _deployment(words: Expressions, item: Object) -> None:
    if "replicas" in item["spec"]:
        item["spec"]["replicas"] = words.word(f'index .Values.copies {literal(item["metadata"]["name"])} "least"')


def _stateful_set(words: Expressions, item: Object) -> None:
    for claim in item["spec"].get("volumeClaimTemplates", []):
        size = f".Values.storage.sizes {literal(item['metadata']['name'])}"
        claim["spec"]["resources"]["requests"]["storage"] = words.word(f"index {size}")
        claim["spec"][words.line("storageClassName", ".Values.storage.class")] = ""


def _ingress(words: Expressions, item: Object) -> None:
    item["metadata"][words.line("annotations", ".Values.entry.annotations")] = ""
    item["spec"]["tls"][0][words.line("secretName", ".Values.entry.tlsSecret")] = ""
    item["spec"][words.line("ingressClassName", ".Values.entry.ingressClass")] = ""


def _quota(words: Expressions, item: Object) -> None:
    item["spec"]["hard"] = words.word(".Values.quota")


_PLACES = {
    "Deployment": _deployment,
    "HorizontalPodAutoscaler": _scaler,
    "Ingress": _ingress,
    "ResourceQuota": _quota,
    "StatefulSet": _stateful_set,
}
