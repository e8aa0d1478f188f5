"""How what is applied or patched gets into an object, and how what nobody wants any more gets out of it."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from onenode.fields import Path, item_key
from onenode.kinds import Code, Kind, Object, code


def merged(kind: Kind, live: Object, wanted: Object) -> Object:
    """Put a body into an object by the kind's schema; both stay as they are."""
    return _struct(kind.type, live, wanted)


def _struct(name: str, live: Object, wanted: Object) -> Object:
    result = dict(live)
    for field, value in wanted.items():
        how = code(name, field) or Code("whole")
        if value is not None:
            result[field] = _value(how, live.get(field), value)
    return result


def _value(how: Code, live: Any, wanted: Any) -> Any:  # noqa: ANN401 - JSON
    if how.shape == "whole" or not live or not wanted:
        return deepcopy(wanted) if wanted or how.shape == "whole" or not live else live
    if how.shape == "struct":
        return _struct(how.inner, live, wanted)
    if how.shape == "map":
        return {
            **live,
            **{key: _struct(how.inner, live.get(key, {}), v) if how.inner else v for key, v in wanted.items()},
        }
    if how.shape == "set":
        return [*live, *(each for each in wanted if each not in live)]
    found = {item_key(how.keys, item): item for item in live}
    for item in wanted:
        key = item_key(how.keys, item)
        found[key] = _struct(how.inner, found.get(key, {}), item)
    order = [item_key(how.keys, item) for item in wanted]
    return [found[key] for key in (*order, *(key for key in found if key not in order))]


def without(kind: Kind, body: Object, paths: frozenset[Path]) -> Object:
    """Give the object without what is at these paths, whole items first; what gets empty by that goes, too."""
    result = deepcopy(body)
    for path in sorted(paths, key=lambda path: (len(path), path[-1] != ".")):
        _remove(result, Code("struct", kind.type), path)
    return result


def _remove(here: Any, how: Code, path: Path) -> None:  # noqa: ANN401 - JSON
    element, rest = path[0], path[1:]
    if element.startswith("f:"):
        name = element[2:]
        inner = Code("struct", how.inner) if how.shape == "map" else code(how.inner, name) or Code("whole")
        if not rest or name not in here:
            here.pop(name, None)
            return
        _remove(here[name], inner, rest)
        if here[name] in ({}, []):
            del here[name]
    elif element.startswith("v:"):
        here[:] = [each for each in here if each != json.loads(element[2:])]
    elif element.startswith("k:"):
        for item in [item for item in here if item_key(how.keys, item) == element]:
            if rest == (".",):
                here.remove(item)
            else:
                _remove(item, Code("struct", how.inner), rest)


def merge_patched(live: Any, patch: Any) -> Any:  # noqa: ANN401 - JSON
    """Apply a merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(live) if isinstance(live, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patched(result.get(key), value)
    return result


def strategic_patched(kind: Kind, live: Object, patch: Object) -> Object:
    """Apply a strategic merge patch without directives: lists merge by their keys, null removes."""
    gone = merge_patched(live, _nulls(patch))
    return merged(kind, gone, patch)


def _nulls(patch: Object) -> Object:
    """Give only what a patch removes."""
    found: Object = {}
    for key, value in patch.items():
        if value is None:
            found[key] = None
        elif isinstance(value, dict) and (inner := _nulls(value)):
            found[key] = inner
    return found
