"""Selectors of labels and fields, in a query and in an object."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from onenode.kinds import Object
from onenode.statuses import RefusedError

Test = Callable[[Object], bool]
_PART = re.compile(r"\s*((?:[^,(]|\([^)]*\))+)\s*(?:,|$)")
_SET = re.compile(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)")
_EQUAL = re.compile(r"([^\s=!]+)\s*(==|=|!=)\s*([^\s=!]*)")
_KEY = re.compile(r"(!?)\s*([^\s=!]+)")
_FIELDS = {"metadata.name", "metadata.namespace"}
_MORE_FIELDS = {
    "Event": {"involvedObject.name", "involvedObject.kind", "involvedObject.uid", "reason", "type"},
    "Pod": {"status.phase", "spec.nodeName"},
}


def by_labels(query: str) -> Test:
    """Read a `labelSelector`. Raises `RefusedError` for what is none."""
    tests = [_labels(part) for part in _PART.findall(query)]
    return lambda each: all(test(each["metadata"].get("labels", {})) for test in tests)


def _labels(part: str) -> Callable[[Mapping[str, str]], bool]:
    part = part.strip()
    if found := _SET.fullmatch(part):
        key, how, values = found[1], found[2], {value.strip() for value in found[3].split(",")}
        return lambda labels: (labels.get(key) in values) == (how == "in")
    if found := _EQUAL.fullmatch(part):
        key, how, value = found.groups()
        return lambda labels: (labels.get(key) == value) == (how != "!=")
    if found := _KEY.fullmatch(part):
        wanted, key = not found[1], found[2]
        return lambda labels: (key in labels) == wanted
    word = part.split()[1] if " " in part else part
    why = f"found '{word}', expected: in, notin, =, ==, !=, gt, lt"
    raise RefusedError(400, "BadRequest", f"unable to parse requirement: {why}")


def by_fields(query: str, kind: str) -> Test:
    """Read a `fieldSelector`. Raises `RefusedError` for a field that the kind cannot be selected by."""
    tests = [_field(part, kind) for part in query.split(",") if part]
    return lambda each: all(test(each) for test in tests)


def _field(part: str, kind: str) -> Test:
    found = _EQUAL.fullmatch(part)
    name, how, value = found.groups() if found else (part, "=", "")
    if name not in _FIELDS | _MORE_FIELDS.get(kind, set()):
        why = 'only "metadata.name", "metadata.namespace"'
        raise RefusedError(400, "BadRequest", f'"{name}" is not a known field selector: {why}')
    return lambda each: (_at(each, name) == value) == (how != "!=")


def _at(body: Object, path: str) -> str:
    here: object = body
    for part in path.split("."):
        here = here.get(part, "") if isinstance(here, dict) else ""
    return str(here)


def selects(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Tell whether a LabelSelector, or a Service's plain map, picks these labels; none picks nothing."""
    if selector is None:
        return False
    plain = selector.get("matchLabels", {}) if "matchLabels" in selector or "matchExpressions" in selector else selector
    return all(labels.get(key) == value for key, value in plain.items()) and all(
        _expressed(each, labels) for each in selector.get("matchExpressions", ())
    )


def _expressed(expression: Object, labels: Mapping[str, str]) -> bool:
    key, how = expression["key"], expression["operator"]
    if how in {"Exists", "DoesNotExist"}:
        return (key in labels) == (how == "Exists")
    return (labels.get(key) in expression["values"]) == (how == "In")
