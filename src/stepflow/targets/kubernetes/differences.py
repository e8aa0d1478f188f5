"""How an object would differ from what it is now, field by field, in words. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from stepflow.targets.kubernetes.compare import MEANING, OBJECTS
from stepflow.targets.kubernetes.kinds import Object, title
from stepflow.targets.kubernetes.manifests.names import DIGEST

_SHOWN = 60  # characters of a value
_FIELDS = 12  # of one object that are named before "and N more"
_OF_THE_CLUSTER = frozenset({"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"})
_OURS = frozenset({DIGEST, MEANING, OBJECTS})  # annotations by which stepflow knows what it wants: no news to anybody
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
    for field in ("data", "stringData", "binaryData") if each["kind"] in {"Secret", "ConfigMap"} else ():
        if field in bare:
            bare[field] = {name: _Closed(str(value)) for name, value in bare[field].items()}
    return {**bare, "metadata": meta}


@dataclass(frozen=True, slots=True)
class _Closed:
    """A text that is compared and never shown."""

    text: str


def _fields(before: object, after: object, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted((before.keys() | after.keys()) - _OURS, key=str):
            yield from _fields(before.get(name, _NOTHING), after.get(name, _NOTHING), _joined(path, str(name)))
    elif isinstance(before, list) and isinstance(after, list):
        old, new = _keyed(before), _keyed(after)
        for name in dict.fromkeys([*old, *new]):
            yield from _fields(old.get(name, _NOTHING), new.get(name, _NOTHING), f"{path}[{name}]")
    elif before != after:
        yield _said(before, after, path)


def _joined(path: str, name: str) -> str:
    plain = name.replace("-", "").replace("_", "").isalnum()
    return f"{path}.{name}" if path and plain else name if plain else f"{path}[{name}]"


def _keyed(items: list[object]) -> dict[str, object]:
    """Name the items of a list: containers, variables and ports have names, and go by them wherever they stand."""
    names = [str(each["name"]) if isinstance(each, dict) and "name" in each else "" for each in items]
    if "" in names or len(set(names)) < len(names):
        names = [str(number) for number in range(len(items))]
    return dict(zip(names, items, strict=True))


def _said(before: object, after: object, path: str) -> str:
    if isinstance(before, _Closed) or isinstance(after, _Closed):
        return f"{path} {'added' if before is _NOTHING else 'removed' if after is _NOTHING else 'changes'}"
    if before is _NOTHING:
        return f"{path} set to {_value(after)}"
    if after is _NOTHING:
        return f"{path} no longer set, was {_value(before)}"
    return f"{path} {_value(before)} -> {_value(after)}"


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=lambda _: "...")
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
