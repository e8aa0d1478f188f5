"""The whole suite: every rule over every object."""

from __future__ import annotations

from collections.abc import Sequence

# Each module registers its rules when it is imported.
from . import availability, containers, declared, network, pod_security, probes
from .rule import RULES, Finding
from .snapshot import Object, Snapshot

MODULES = (pod_security, containers, probes, availability, network, declared)


def findings(objects: Sequence[Object]) -> tuple[Finding, ...]:
    """Return every violation of every rule, in the order of the rules."""
    snapshot = Snapshot(objects)
    return tuple(
        Finding(rule, f"{item['kind']} `{item['metadata']['name']}`", says)
        for rule in RULES
        for item, says in rule.finder(snapshot)
    )


def names() -> tuple[str, ...]:
    """Return the names of all rules, as `source/name`, sorted."""
    return tuple(sorted(name for rule in RULES for name in rule.names))
