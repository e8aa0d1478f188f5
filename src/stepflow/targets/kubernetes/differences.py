"""How an object would differ from what it is now, field by field, in words. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from stepflow.targets.kubernetes.kinds import Object, title
from stepflow.targets.kubernetes.manifests.names import DIGEST, MEANING, OBJECTS

_SHOWN = 60  # characters of a value
_FIELDS = 12  # of one object that are named before "and N more"
_OF_THE_CLUSTER = frozenset({"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"})
BOOKKEEPING = frozenset({DIGEST, MEANING, OBJECTS})
"""Annotations by which stepflow knows what it wants: nothing that people have to read."""
_NOTHING = object()


def differences(before: Object | None, after: Object) -> tuple[str, ...]:
    """Give what changes, a line each and the object's name first; () when nothing does.

    Of a Secret, and of what a ConfigMap holds, it is said that it changes, and not how.
    """
    if before is None:
        return (f"{title(after)}: create",)
    lines = list(_fields(_meant(before), _meant(after), ""))
    if not lines:
        return ()
    more = [f"and {len(lines) - _FIELDS} more fields"] if len(lines) > _FIELDS else []
    return tuple(f"{title(after)}: {line}" for line in [*lines[:_FIELDS], *more])


def _meant(each: Object) -> Object:
    """Leave out what the cluster keeps for itself, and close what nobody shall read."""
    meta = {name: value for name, value in each["metadata"].items() if name not in _OF_THE_CLUSTER}
    bare = {name: value for name, value in each.items() if name != "status"}
    return {**closed(each["kind"], bare), "metadata": meta}


@dataclass(frozen=True, slots=True)
class Closed:
    """A text that is compared and never shown."""

    text: str


def closed(kind: str, each: Object) -> Object:
    """Return a Secret or a ConfigMap with what it holds closed, any other kind as it is."""
    fields = ("data", "stringData", "binaryData") if kind in {"Secret", "ConfigMap"} else ()
    held = {field: each[field] or {} for field in fields if field in each}
    return each | {field: {name: Closed(str(text)) for name, text in texts.items()} for field, texts in held.items()}


def _fields(before: object, after: object, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted((before.keys() | after.keys()) - BOOKKEEPING, key=str):
            yield from _fields(before.get(name, _NOTHING), after.get(name, _NOTHING), joined(path, str(name)))
    elif isinstance(before, list) and isinstance(after, list):
        old, new = keyed(before), keyed(after)
        for name in dict.fromkeys([*old, *new]):
            yield from _fields(old.get(name, _NOTHING), new.get(name, _NOTHING), f"{path}[{name}]")
    elif before != after:
        yield _said(before, after, path)


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


def _said(before: object, after: object, path: str) -> str:
    if isinstance(before, Closed) or isinstance(after, Closed):
        return f"{path} {'added' if before is _NOTHING else 'removed' if after is _NOTHING else 'changes'}"
    if before is _NOTHING:
        return f"{path} set to {shown(after)}"
    if after is _NOTHING:
        return f"{path} no longer set, was {shown(before)}"
    return f"{path} {shown(before)} -> {shown(after)}"


def shown(value: object) -> str:
    """Format a value for people, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, default=lambda _: "...")
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
