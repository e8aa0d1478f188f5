"""Which pods reach which by a set of NetworkPolicies, as the documentation of Kubernetes says: what any policy allows
the source to send and any policy allows the destination to receive; a pod that no policy picks may do all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]
CONTROLLERS = ("Deployment", "StatefulSet", "Job")
OUTSIDE = "outside"
"""A source that is not a pod of the platform."""


@dataclass(frozen=True)
class Pods:
    """The pods of a controller."""

    name: str  # the controller's; of a Job the component's
    labels: Mapping[str, str]
    ports: tuple[int, ...]


def pods(objects: Iterable[Object]) -> tuple[Pods, ...]:
    """Return the pods that controllers make."""
    return tuple(
        Pods(
            item["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"],
            item["spec"]["template"]["metadata"]["labels"],
            tuple(p["containerPort"] for c in _containers(item) for p in c.get("ports", ())),
        )
        for item in objects
        if item["kind"] in CONTROLLERS
    )


def flows(objects: Iterable[Object]) -> set[tuple[str, str, int]]:
    """Return (source, destination, port) of all that is allowed, at the ports that containers have."""
    objects = tuple(objects)
    policies = [item["spec"] for item in objects if item["kind"] == "NetworkPolicy"]
    everyone = pods(objects)
    found = {
        (source.name, to.name, port)
        for source in everyone
        for to in everyone
        for port in to.ports
        if _sent(policies, source.labels, to.labels, port) and _taken(policies, to.labels, source.labels, port)
    }
    return found | {
        (OUTSIDE, to.name, port) for to in everyone for port in to.ports if _taken(policies, to.labels, None, port)
    }


def reaches(objects: Iterable[Object], source: str, port: int, protocol: str = "TCP") -> bool:
    """Return whether a component's pods reach any address outside of the cluster at a port."""
    objects = tuple(objects)
    policies = [item["spec"] for item in objects if item["kind"] == "NetworkPolicy"]
    (found,) = (each for each in pods(objects) if each.name == source)
    return _sent(policies, found.labels, None, port, protocol)


def picks(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a label selector picks something with these labels."""
    assert selector.keys() <= {"matchLabels"}
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def _sent(
    policies: list[Any], source: Mapping[str, str], to: Mapping[str, str] | None, port: int, protocol: str = "TCP"
) -> bool:
    return _allowed(_rules(policies, source, "Egress"), "to", to, (protocol, port))


def _taken(policies: list[Any], to: Mapping[str, str], source: Mapping[str, str] | None, port: int) -> bool:
    return _allowed(_rules(policies, to, "Ingress"), "from", source, ("TCP", port))


def _rules(policies: list[Any], labels: Mapping[str, str], way: str) -> list[Any] | None:
    """Return the rules for a pod; None where no policy picks it."""
    mine = [each for each in policies if way in each["policyTypes"] and picks(each["podSelector"], labels)]
    return [rule for each in mine for rule in each.get(way.lower(), ())] if mine else None


def _allowed(rules: list[Any] | None, side: str, peer: Mapping[str, str] | None, where: tuple[str, int]) -> bool:
    if rules is None:
        return True
    return any(_at(rule, where) and (side not in rule or _is(rule[side], peer)) for rule in rules)


def _at(rule: Mapping[str, Any], where: tuple[str, int]) -> bool:
    return "ports" not in rule or where in {(each.get("protocol", "TCP"), each["port"]) for each in rule["ports"]}


def _is(peers: list[Any], labels: Mapping[str, str] | None) -> bool:
    return labels is not None and any("podSelector" in each and picks(each["podSelector"], labels) for each in peers)


def _containers(item: Object) -> Iterator[Any]:
    yield from item["spec"]["template"]["spec"]["containers"]
