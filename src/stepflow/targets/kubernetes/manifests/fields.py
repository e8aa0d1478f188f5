"""Fields and values of objects as people read them. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.manifests.names import DIGEST, MEANING, OBJECTS, REMADE

_SHOWN = 60  # characters of a value
BOOKKEEPING = frozenset({DIGEST, MEANING, OBJECTS, REMADE})
"""Annotations by which stepflow knows what it wants: nothing that people have to read."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A text that is compared and never shown."""

    text: str


def closed(kind: str, each: Object) -> Object:
    """Return a Secret or a ConfigMap with what it holds closed, any other kind as it is."""
    fields = ("data", "stringData", "binaryData") if kind in {"Secret", "ConfigMap"} else ()
    held = {field: each[field] or {} for field in fields if field in each}
    return each | {field: {name: Closed(str(text)) for name, text in texts.items()} for field, texts in held.items()}


def joined(path: str, name: str) -> str:
    """Return the path of a field: `spec.replicas`, `metadata.labels[a.b/c]`."""
    plain = name.replace("-", "").replace("_", "").isalnum()
    return f"{path}.{name}" if path and plain else name if plain else f"{path}[{name}]"


def keyed(items: list[object]) -> dict[str, object]:
    """Return the items of a list by name, by which containers, variables and ports go; others by their number."""
    names = [str(each["name"]) if isinstance(each, dict) and "name" in each else "" for each in items]
    if "" in names or len(set(names)) < len(names):
        names = [str(number) for number in range(len(items))]
    return dict(zip(names, items, strict=True))


def shown(value: object) -> str:
    """Format a value for people, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, default=lambda _: "...")
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
