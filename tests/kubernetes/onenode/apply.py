"""Server-side apply: how a body gets into an object, and who manages which fields.

A path is a tuple of elements, as `metadata.managedFields` has them: `f:name` for a field, `k:{…}` for an item of a list
by its keys, `v:…` for one of a set, and `.` at the end for the thing itself where it has more inside.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from copy import deepcopy
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from onenode.kinds import Kind, Merge, Object, merge_of
from onenode.refusals import RefusedError

Path = tuple[str, ...]
Owner = tuple[str, str]  # manager and operation
Owners = dict[Owner, frozenset[Path]]
_UNOWNED = (("f:apiVersion",), ("f:kind",), ("f:status",))
_SYSTEM = {
    "name", "namespace", "uid", "creationTimestamp", "resourceVersion", "generation", "managedFields", "selfLink",
    "deletionTimestamp", "deletionGracePeriodSeconds", "generateName",
}  # fmt: skip


def now() -> str:
    """Return the time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def applied(kind: Kind, live: Object | None, wanted: Object, manager: str, *, force: bool) -> Object:
    """Return the object after `manager` applied a body to it.

    Raises `RefusedError` for fields that others manage, unless `force`.
    """
    before: Object = live or {}
    owners = _owners(before)
    ours = _owned(kind, wanted)
    conflicts = list(_conflicts(kind, before, wanted, ours, owners, manager))
    if conflicts and not force:
        raise _conflict(kind, conflicts)
    for owner, path in conflicts:
        owners[owner] -= {path}
    given_up = owners.get((manager, "Apply"), frozenset()) - ours
    others = frozenset().union(*(paths for owner, paths in owners.items() if owner != (manager, "Apply")))
    result = _without(kind, merged(kind, before, wanted), given_up - others)
    owners[manager, "Apply"] = ours
    return _signed(kind, before, result, owners)


def updated(kind: Kind, live: Object | None, after: Object, manager: str) -> Object:
    """Return an object that `manager` created or patched; the fields that it changed are its own now."""
    before: Object = live or {}
    was, there = _owned(kind, before, maps=True), _owned(kind, after, maps=True)
    changed = {path for path in there if path not in was or _differ(kind, before, after, path)}
    owners = {owner: paths - changed - (was - there) for owner, paths in _owners(before).items()}
    if changed:
        owners[manager, "Update"] = owners.get((manager, "Update"), frozenset()) | changed
    return _signed(kind, before, after, owners)


def check_fields(kind: Kind, body: Object) -> None:
    """Raise `RefusedError` for a field that the kind does not have."""
    _owned(kind, body)


def merge_patched(live: Any, patch: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a value after a merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(live) if isinstance(live, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patched(result.get(key), value)
    return result


# What a body puts into an object, and what leaves it -----------------------------------------------------------------


def merged(kind: Kind, live: Object, wanted: Object) -> Object:
    """Return an object with a body put into it by the kind's schema (a strategic merge without directives)."""
    return _merged(kind.type, live, wanted)


def _merged(name: str, live: Object, wanted: Object) -> Object:
    result = dict(live)
    for field, value in wanted.items():
        if value is not None:
            result[field] = _merged_value(merge_of(name, field) or Merge("whole"), live.get(field), value)
    return result


def _merged_value(how: Merge, live: Any, wanted: Any) -> Any:  # noqa: ANN401 - JSON
    if how.shape in {"whole", "set"} or not live:
        return deepcopy(wanted)
    if not wanted:
        return live
    if how.shape == "struct":
        return _merged(how.inner, live, wanted)
    if how.shape == "map":
        return {**live, **wanted}
    found = {_item(how.keys, item): item for item in live}
    for item in wanted:
        key = _item(how.keys, item)
        found[key] = _merged(how.inner, found.get(key, {}), item)
    order = [_item(how.keys, item) for item in wanted]
    return [found[key] for key in (*order, *(key for key in found if key not in order))]


def _item(keys: tuple[str, ...], item: Object) -> str:
    """Return the element of a path for an item of a list; the protocol of a port is TCP by default."""
    values = {key: item.get(key, "TCP" if key == "protocol" else None) for key in sorted(keys)}
    return "k:" + json.dumps(values, separators=(",", ":"))


def _without(kind: Kind, body: Object, paths: frozenset[Path]) -> Object:
    """Return an object without what is at these paths, whole items first, nor what becomes empty by that."""
    result = deepcopy(body)
    for path in sorted(paths, key=lambda path: (len(path), path[-1] != ".")):
        _remove(result, Merge("struct", kind.type), path)
    return result


def _remove(here: Any, how: Merge, path: Path) -> None:  # noqa: ANN401 - JSON
    element, rest = path[0], path[1:]
    if element.startswith("k:"):
        for item in [item for item in here if _item(how.keys, item) == element]:
            if rest == (".",):
                here.remove(item)
            else:
                _remove(item, Merge("struct", how.inner), rest)
        return
    name = element[2:]
    if not rest or name not in here:
        here.pop(name, None)
        return
    _remove(here[name], _inside(how, name), rest)
    if not here[name]:
        del here[name]


# Sets of paths -------------------------------------------------------------------------------------------------------


def _owned(kind: Kind, body: Object, *, maps: bool = False) -> frozenset[Path]:
    """Return the paths that a body sets; with `maps` also that a map is there, as an update has it."""
    found = set()
    for path in _paths(kind, kind.type, body, (), maps=maps):
        system = path[0] == "f:metadata" and path[1].removeprefix("f:") in _SYSTEM
        if not (path[:1] in _UNOWNED or system or (kind.name == "Namespace" and path[0] == "f:spec")):
            found.add(path)
    return frozenset(found)


def _paths(kind: Kind, name: str, body: Object, at: Path, *, maps: bool) -> Iterator[Path]:
    for field, value in body.items():
        how = merge_of(name, field)
        if how is None:
            raise _unknown(kind, {} if at else body, (*at, f"f:{field}"))
        if value is not None:
            yield from _paths_of(kind, how, value, (*at, f"f:{field}"), maps=maps)


def _paths_of(kind: Kind, how: Merge, value: Any, at: Path, *, maps: bool) -> Iterator[Path]:  # noqa: ANN401 - JSON
    if how.shape == "whole" or not value:
        yield at
        return
    if how.shape == "struct":
        yield from _paths(kind, how.inner, value, at, maps=maps)
        return
    if maps:
        yield (*at, ".")
    if how.shape == "map":
        yield from ((*at, f"f:{key}") for key in value)
    elif how.shape == "set":
        yield from ((*at, "v:" + json.dumps(each)) for each in value)
    else:
        for item in value:
            here = (*at, _item(how.keys, item))
            yield (*here, ".")
            yield from _paths(kind, how.inner, item, here, maps=maps)


def _unknown(kind: Kind, body: Object, at: Path) -> RefusedError:
    space, name = body.get("metadata", {}).get("namespace", ""), body.get("metadata", {}).get("name", "")
    group, _, version = kind.version.rpartition("/")
    subject = f"{space}/{name}; {group}/{version}, Kind={kind.name}"
    why = f"{_spoken(at)}: field not declared in schema"
    return RefusedError(500, "", f"failed to create typed patch object ({subject}): {why}")


def _spoken(path: Path) -> str:
    """Format a path as conflicts name it: `.spec.template.spec.containers[name="main"].image`."""
    said = ""
    for element in path:
        if element.startswith("k:"):
            pairs = json.loads(element[2:]).items()
            said += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in pairs) + "]"
        else:
            said += "." + element[2:]
    return said


def _nested(paths: frozenset[Path]) -> Object:
    """Return a set as FieldsV1."""
    tree: Object = {}
    for path in sorted(paths):
        here = tree
        for element in path:
            here = here.setdefault(element, {})
    return tree


def _flat(tree: Object, at: Path = ()) -> Iterator[Path]:
    """Return the paths of FieldsV1."""
    for element, inner in tree.items():
        if inner:
            yield from _flat(inner, (*at, element))
        else:
            yield (*at, element)


def _differ(kind: Kind, one: Object, other: Object, path: Path) -> bool:
    return path[-1] != "." and _value_at(kind, one, path) != _value_at(kind, other, path)


def _value_at(kind: Kind, body: Object, path: Path) -> Any:  # noqa: ANN401 - JSON
    """Return the value at a path, None where there is none; of a member of a set whether it is there."""
    here: Any = body
    how = Merge("struct", kind.type)
    for element in path:
        if here is None:
            break
        if element.startswith("v:"):
            return element[2:] in map(json.dumps, here)
        if element.startswith("f:"):
            here, how = here.get(element[2:]), _inside(how, element[2:])
        else:
            here = next((item for item in here if _item(how.keys, item) == element), None)
            how = Merge("struct", how.inner)
    return here


def _inside(how: Merge, name: str) -> Merge:
    return Merge("whole") if how.shape == "map" else merge_of(how.inner, name) or Merge("whole")


# Managers ------------------------------------------------------------------------------------------------------------


def _owners(body: Object) -> Owners:
    entries = body.get("metadata", {}).get("managedFields", ())
    return {(each["manager"], each["operation"]): frozenset(_flat(each["fieldsV1"])) for each in entries}


def _conflicts(  # noqa: PLR0917 - what is compared
    kind: Kind, live: Object, wanted: Object, ours: Iterable[Path], owners: Owners, manager: str
) -> Iterable[tuple[Owner, Path]]:
    for owner, paths in sorted(owners.items()):
        if owner != (manager, "Apply"):
            yield from ((owner, path) for path in sorted(paths & frozenset(ours)) if _differ(kind, live, wanted, path))


def _conflict(kind: Kind, conflicts: list[tuple[Owner, Path]]) -> RefusedError:
    def who(owner: Owner) -> str:
        return f'"{owner[0]}"' + (f" using {kind.version}" if owner[1] == "Update" else "")

    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who(owner)}", "field": _spoken(path)}
        for owner, path in conflicts
    ]
    if len(conflicts) == 1:
        said = f"1 conflict: conflict with {who(conflicts[0][0])}: {_spoken(conflicts[0][1])}"
    else:
        lines = [
            f"conflicts with {who(owner)}:\n" + "\n".join(f"- {_spoken(path)}" for _, path in paths)
            for owner, paths in groupby(conflicts, key=lambda each: each[0])
        ]
        said = f"{len(conflicts)} conflicts: " + "\n".join(lines)
    return RefusedError(409, "Conflict", f"Apply failed with {said}", causes=causes)


def _signed(kind: Kind, before: Object, after: Object, owners: Owners) -> Object:
    old = {(each["manager"], each["operation"]): each for each in before.get("metadata", {}).get("managedFields", ())}
    entries = []
    for owner, paths in sorted(owners.items(), key=lambda each: (each[0][1], each[0][0])):
        fields = _nested(paths)
        if paths and owner in old and old[owner]["fieldsV1"] == fields:
            entries.append(old[owner])
        elif paths:
            entries.append({
                "manager": owner[0], "operation": owner[1], "apiVersion": kind.version, "time": now(),
                "fieldsType": "FieldsV1", "fieldsV1": fields,
            })  # fmt: skip
    return {**after, "metadata": {**after.get("metadata", {}), "managedFields": entries}}
