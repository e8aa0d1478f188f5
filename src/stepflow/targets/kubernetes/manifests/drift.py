"""What differs in an object from what was applied, field by field. Pure.

All of an object that its manifest says is stepflow's, and so is everything inside of the lists and maps that it fills,
but for labels, annotations and what the API adds by itself (`defaults`): an additional rule of a NetworkPolicy is
drift, an additional label is not. The number of copies of a Deployment is compared elsewhere.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.manifests.defaults import is_default, managed_by_others
from stepflow.targets.kubernetes.manifests.fields import BOOKKEEPING, Closed, closed, joined, keyed, shown
from stepflow.targets.kubernetes.manifests.quantity import amount

_AMOUNTS = frozenset({"requests", "limits", "hard", "default", "defaultRequest"})
"""Maps whose values are quantities, which the API writes in its own way: `1` for `1000m`."""
_AMOUNT = frozenset({"averageValue", "sizeLimit"})
_SHARED = frozenset({"labels", "annotations"})
_NOTHING: tuple[object, ...] = (None, "", [])  # which the API leaves out
_MISSING = object()


def drift(desired: Object, there: Object) -> tuple[str, ...]:
    """Return a line for each field that differs: `spec.ingress[0].from removed: …`; () for an object as applied.

    Of what a Secret or a ConfigMap holds it is said which key differs, and not how.
    """
    return tuple(each.as_drift() for each in _all(desired, there))


def changes(desired: Object, there: Object) -> tuple[str, ...]:
    """Return the same for an object whose desired state is another than was applied: `spec.replicas 1 -> 2`."""
    return tuple(each.as_change() for each in _all(desired, there))


def cleared(desired: Object, there: Object) -> Object:
    """Return an object without what someone added to it, which applying it leaves there."""
    left = copy.deepcopy(there)
    added = [each.at.pointer for each in _all(desired, there) if each.what == "added"]
    for *way, last in reversed(added):  # of a list, the last item first
        holder: Any = left
        for step in way:
            holder = holder[step]
        del holder[last]
    return left


def merge_patch(before: Object, after: Object) -> Object:
    """Return the JSON merge patch (RFC 7396) that makes one of the other, of which something was removed."""
    gone: Object = dict.fromkeys(before.keys() - after.keys())
    changed = {name: value for name, value in after.items() if value != before[name]}
    return gone | {
        name: merge_patch(before[name], value) if isinstance(value, dict) else value for name, value in changed.items()
    }


def _all(desired: Object, there: Object) -> Iterator[_Difference]:
    start = _FieldPath(desired["kind"], owners=managed_by_others(there))
    meta, other = desired["metadata"], there["metadata"]
    for name in sorted(_SHARED & meta.keys()):
        yield from _differ(_ours(meta[name]), other.get(name) or {}, start.field("metadata").field(name))
    left, right = _bare(desired), _bare(there)
    for name in sorted(left.keys() | right.keys()):
        yield from _differ(left.get(name, _MISSING), right.get(name, _MISSING), start.field(name))


@dataclass(frozen=True, slots=True)
class _FieldPath:
    """Where in an object: the path as people read it, and as the tables of defaults and of managers have it."""

    kind: str
    path: str = ""
    pattern: str = ""
    name: str = ""  # the field's own
    parent: str = ""
    owners: tuple[Object, ...] | None = None  # of those that others manage, what is below here
    pointer: tuple[str | int, ...] = ()  # the keys that lead here in what is there

    def field(self, name: str) -> _FieldPath:
        """Return the place of a field."""
        pattern = f"{self.pattern}.{name}" if self.pattern else name
        below = self._below(f"f:{name}")
        return _FieldPath(self.kind, joined(self.path, name), pattern, name, self.name, below, (*self.pointer, name))

    def item(self, name: str, value: object, index: int = 0) -> _FieldPath:
        """Return the place of an item of a list, which has this index in what is there."""
        below = None if self.owners is None else tuple(_of_item(each, value) for each in self.owners)
        return replace(
            self, path=f"{self.path}[{name}]", pattern=f"{self.pattern}[]", owners=below, pointer=(*self.pointer, index)
        )

    def by_itself(self, value: object) -> bool:
        """Return whether the API itself put a field here."""
        return is_default(self.kind, self.pattern, value) or (self.owners is not None and not any(self.owners))

    def _below(self, name: str) -> tuple[Object, ...] | None:
        if self.owners is None:
            return None
        # A field without anything below it is managed as a whole.
        return tuple(each if each is _WHOLE else (each[name] or _WHOLE) if name in each else {} for each in self.owners)


@dataclass(frozen=True, slots=True)
class _Difference:
    """One field; what is there was added, changed or removed."""

    at: _FieldPath
    what: Literal["added", "changed", "removed"]
    desired: object = None
    there: object = None

    def as_drift(self) -> str:
        """Format what someone did."""
        values = [self.desired] * (self.what != "added") + [self.there] * (self.what != "removed")
        return f"{self.at.path} {self.what}{_values(values, ': ')}"

    def as_change(self) -> str:
        """Format what is to be done."""
        match self.what:
            case "added":
                return f"{self.at.path} no longer set{_values([self.there], ', was ')}"
            case "removed":
                return f"{self.at.path} set{_values([self.desired], ' to ')}"
            case "changed":
                return f"{self.at.path}{_values([self.there, self.desired], ' ') or ' changed'}"


def _values(values: list[object], before: str) -> str:
    """Format values; "" for what is never shown."""
    return "" if any(isinstance(each, Closed) for each in values) else before + " -> ".join(map(shown, values))


_WHOLE: Object = {".": {}}


def _of_item(tree: Object, value: object) -> Object:
    """Return what someone manages of an item of a list: it is named by its keys, or the list is one field."""
    if tree is _WHOLE or not tree:
        return tree
    for name, below in tree.items():
        if name.startswith("k:") and isinstance(value, dict):
            if all(value.get(key) == found for key, found in json.loads(name[2:]).items()):
                return below or _WHOLE
        elif name.startswith("v:") and json.loads(name[2:]) == value:
            return _WHOLE
    return {}


def _bare(each: Object) -> Object:
    """Leave out what is not compared, and read a Secret's texts as the cluster keeps them."""
    bare = {name: value for name, value in each.items() if name not in {"apiVersion", "kind", "metadata", "status"}}
    texts = bare.pop("stringData", None)
    if texts is not None:
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
        bare["data"] = {**(bare.get("data") or {}), **encoded}
    if each["kind"] == "Deployment" and "replicas" in (bare.get("spec") or {}):
        bare["spec"] = {name: value for name, value in bare["spec"].items() if name != "replicas"}
    return closed(each["kind"], bare)


def _ours(notes: Mapping[str, object]) -> Object:
    return {name: value for name, value in notes.items() if name not in BOOKKEEPING}


def _differ(desired: object, there: object, at: _FieldPath) -> Iterator[_Difference]:
    if there is _MISSING or (there is None and desired is not _MISSING):
        if desired not in _NOTHING:
            yield _Difference(at, "removed", desired)
    elif desired is _MISSING or (desired is None and there is not None):
        if there is not None and not at.by_itself(there):
            yield _Difference(at, "added", there=there)
    elif isinstance(desired, dict) and isinstance(there, dict):
        yield from _maps(desired, there, at)
    elif isinstance(desired, list) and isinstance(there, list):
        yield from _lists(desired, there, at)
    elif not _equal(desired, there, at):
        yield _Difference(at, "changed", desired, there)


def _maps(desired: Object, there: Object, at: _FieldPath) -> Iterator[_Difference]:
    shared = at.name == "metadata" or (at.parent == "metadata" and at.name in _SHARED)
    for name in sorted(desired.keys() | (set() if shared else there.keys())):
        yield from _differ(desired.get(name, _MISSING), there.get(name, _MISSING), at.field(name))


def _lists(desired: list[object], there: list[object], at: _FieldPath) -> Iterator[_Difference]:
    if not all(isinstance(each, dict) for each in (*desired, *there)):
        if desired != there:  # words of a command, verbs, host names
            yield _Difference(at, "changed", desired, there)
        return
    old, new = keyed(desired), keyed(there)
    indexes = {name: index for index, name in enumerate(new)}
    if old.keys() != new.keys() and _numbered(old) and _numbered(new):
        old, new = _without_pairs(old, new, at)
    for name in dict.fromkeys([*old, *new]):
        found = new.get(name, _MISSING)
        place = at.item(name, old[name] if found is _MISSING else found, indexes.get(name, 0))
        yield from _differ(old.get(name, _MISSING), found, place)


def _numbered(items: Mapping[str, object]) -> bool:
    return all(name.isdigit() for name in items)


def _without_pairs(
    old: Mapping[str, object], new: Mapping[str, object], at: _FieldPath
) -> tuple[dict[str, object], dict[str, object]]:
    """Leave out items without a name that are there unchanged at another number: one was put before them."""
    left, right = dict(old), dict(new)
    for name, item in old.items():
        pairs = (other for other, value in right.items() if not any(_differ(item, value, at.item(other, value))))
        if (pair := next(pairs, None)) is not None:
            del left[name], right[pair]
    return left, right


def _equal(desired: object, there: object, at: _FieldPath) -> bool:
    if desired == there and type(desired) is type(there):
        return True
    if at.parent in _AMOUNTS or at.name in _AMOUNT or at.parent in _AMOUNT:
        return _amount(desired) == _amount(there)
    return False


def _amount(value: object) -> object:
    try:
        return amount(value) if isinstance(value, str | int | float) else value
    except ValueError:
        return value
