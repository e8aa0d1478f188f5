"""Who manages which fields: sets of paths, as `metadata.managedFields` has them.

A path is a tuple of elements: `f:name` for a field, `k:{…}` for an item of a list by its keys, `v:…` for one of a set,
and `.` at the end for the thing itself where it has more inside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from onenode.kinds import Code, Kind, Object, code
from onenode.statuses import RefusedError

Path = tuple[str, ...]
_OWN = (("f:apiVersion",), ("f:kind",), ("f:status",))
_SYSTEM = {
    "name", "namespace", "uid", "creationTimestamp", "resourceVersion", "generation", "managedFields", "selfLink",
    "deletionTimestamp", "deletionGracePeriodSeconds", "generateName",
}  # fmt: skip


def item_key(keys: tuple[str, ...], item: Object) -> str:
    """Name an item of a list by its keys; a port has a protocol even where nothing says so."""
    values = {key: item.get(key, "TCP" if key == "protocol" else None) for key in sorted(keys)}
    return "k:" + json.dumps(values, separators=(",", ":"))


def owned(kind: Kind, body: Object, *, maps: bool = False) -> frozenset[Path]:
    """Give the paths that a body sets; with `maps` also that a map is there, as an update has it.

    Raises `RefusedError` for a field that the kind does not have.
    """
    found = set()
    for path in _struct(kind, kind.type, body, (), maps=maps):
        system = path[0] == "f:metadata" and path[1].removeprefix("f:") in _SYSTEM
        if path[:1] in _OWN or system or (kind.name == "Namespace" and path[0] == "f:spec"):
            continue
        found.add(path)
    return frozenset(found)


def _struct(kind: Kind, name: str, body: Object, at: Path, *, maps: bool) -> Iterator[Path]:
    for field, value in body.items():
        how = code(name, field)
        if how is None:
            raise _unknown(kind, body if not at else {}, (*at, f"f:{field}"))
        if value is not None:
            yield from _value(kind, how, value, (*at, f"f:{field}"), maps=maps)


def _value(  # noqa: C901 - one branch for each way to merge
    kind: Kind,
    how: Code,
    value: Any,  # noqa: ANN401 - JSON
    at: Path,
    *,
    maps: bool,
) -> Iterator[Path]:
    if how.shape == "whole" or not value:
        yield at
    elif how.shape == "struct":
        yield from _struct(kind, how.inner, value, at, maps=maps)
    elif how.shape == "map":
        if maps:
            yield (*at, ".")
        for key, inner in value.items():
            if how.inner:
                yield from _struct(kind, how.inner, inner, (*at, f"f:{key}"), maps=maps)
            else:
                yield (*at, f"f:{key}")
    elif how.shape == "set":
        if maps:
            yield (*at, ".")
        yield from ((*at, "v:" + json.dumps(each)) for each in value)
    else:
        if maps:
            yield (*at, ".")
        for item in value:
            here = (*at, item_key(how.keys, item))
            yield (*here, ".")
            yield from _struct(kind, how.inner, item, here, maps=maps)


def _unknown(kind: Kind, body: Object, at: Path) -> RefusedError:
    space, name = body.get("metadata", {}).get("namespace", ""), body.get("metadata", {}).get("name", "")
    group, _, version = kind.version.rpartition("/")
    subject = f"{space}/{name}; {group}/{version}, Kind={kind.name}"
    why = f"{spoken(at)}: field not declared in schema"
    return RefusedError(500, "", f"failed to create typed patch object ({subject}): {why}")


def spoken(path: Path) -> str:
    """Write a path as conflicts name it: `.spec.template.spec.containers[name="main"].image`."""
    said = ""
    for element in path:
        if element.startswith("f:"):
            said += "." + element[2:]
        elif element.startswith("k:"):
            pairs = json.loads(element[2:]).items()
            said += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in pairs) + "]"
        elif element.startswith("v:"):
            said += f"[={element[2:]}]"
    return said


def nested(paths: frozenset[Path]) -> Object:
    """Write a set as FieldsV1."""
    tree: Object = {}
    for path in sorted(paths):
        here = tree
        for element in path:
            here = here.setdefault(element, {})
    return tree


def flat(tree: Object, at: Path = ()) -> Iterator[Path]:
    """Read FieldsV1: a leaf, and what has `.` beside others."""
    for element, inner in tree.items():
        if inner:
            yield from flat(inner, (*at, element))
        else:
            yield (*at, element)


def value_at(kind: Kind, body: Object, path: Path) -> Any:  # noqa: ANN401 - JSON
    """Give what is at a path, None where nothing is; of `.` the thing itself, as True."""
    here: Any = body
    how = Code("struct", kind.type)
    for element in path:
        if here is None or element == ".":
            return None if here is None else True
        here, how = _step(here, how, element)
    return here


def _step(here: Any, how: Code, element: str) -> tuple[Any, Code]:  # noqa: ANN401 - JSON
    if element.startswith("f:"):
        inner = Code("struct", how.inner) if how.shape == "map" else code(how.inner, element[2:])
        return here.get(element[2:]), inner or Code("whole")
    if element.startswith("v:"):
        return (True if json.loads(element[2:]) in here else None), Code("whole")
    found = next((item for item in here if item_key(how.keys, item) == element), None)
    return found, Code("struct", how.inner)
