"""An object as it was applied has no drift, and any one change of what is ours is named."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_cases import PRODUCTION, SHOP
from onenode.defaults import with_defaults

from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.manifests.drift import drift
from stepflow.targets.kubernetes.manifests.fields import joined, keyed

OBJECTS = [*SHOP, *(each for each in PRODUCTION if each not in SHOP)]
OF_THE_CLUSTER = ("apiVersion", "kind", "metadata", "status")
SHARED = ("metadata", "metadata.labels", "metadata.annotations")
"""Maps that others may add to."""
AMOUNTS = {"requests", "limits", "hard", "default", "defaultRequest"}


def applied(wanted: Object) -> Object:
    """Return an object as a cluster has it: filled in, its amounts written as the API does it, empty texts left out."""
    return with_defaults({name: _written(value, name) for name, value in copy.deepcopy(wanted).items()})


def _written(value: Any, name: str) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        amounts = name in AMOUNTS
        return {k: _amount(v) if amounts else _written(v, k) for k, v in value.items() if v not in ("", None, [])}
    return [_written(each, "") for each in value] if isinstance(value, list) else value


def _amount(value: Any) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(value, str):
        return _written(value, "")
    number, unit = value.rstrip("Mim"), value.lstrip("0123456789")
    if unit == "Mi" and int(number) % 1024 == 0:
        return f"{int(number) // 1024}Gi"
    return str(int(number) // 1000) if unit == "m" and int(number) % 1000 == 0 else value


def places(value: Any, path: str = "") -> Iterator[tuple[Any, Any, str]]:  # noqa: ANN401 - JSON
    """Yield each field of a JSON value: what holds it, its key there, and the path that a line names."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if path or name not in OF_THE_CLUSTER:
                yield value, name, joined(path, name)
                yield from places(inner, joined(path, name))
    elif isinstance(value, list) and all(isinstance(each, dict) for each in value):
        for number, (name, inner) in enumerate(keyed(value).items()):
            yield value, number, f"{path}[{name}]"
            yield from places(inner, f"{path}[{name}]")


def fields(each: Object) -> list[tuple[Any, Any, str]]:
    """Return the fields of an object that are compared, with its labels and annotations."""
    notes = [
        (texts, name, joined(f"metadata.{kind}", name))
        for kind in ("labels", "annotations")
        if (texts := each["metadata"].get(kind))
        for name in texts
        if not name.startswith("stepflow.dev/digest")
    ]
    copies = "spec.replicas" if each["kind"] == "Deployment" else ""
    return [*notes, *(found for found in places(each) if found[2] != copies)]


def _other(value: Any) -> Any:  # noqa: ANN401 - JSON
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return f"{value}x"
        case list():
            return [*value, {"added": "by hand"}] if value and isinstance(value[0], dict) else [*value, "more"]
        case _:
            return {**value, "added": "by hand"}


def test_every_object_as_it_was_applied_has_no_drift() -> None:
    found = {f"{each['kind']}/{each['metadata']['name']}": drift(each, applied(each)) for each in OBJECTS}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("kind", sorted({each["kind"] for each in OBJECTS}))
@pytest.mark.parametrize("removed", [False, True])
def test_each_field_that_is_changed_or_removed_is_named(kind: str, *, removed: bool) -> None:
    """Every field of every object, one at a time."""
    for wanted in (each for each in OBJECTS if each["kind"] == kind):
        mine = {path for _, _, path in fields(wanted)}
        for number, (_, _, path) in enumerate(fields(applied(wanted))):
            if path not in mine or (path.endswith(SHARED) and not removed):
                continue
            there = applied(wanted)
            holder, key, _ = fields(there)[number]
            if removed:
                del holder[key]
            else:
                holder[key] = _other(holder[key])
            assert [line for line in drift(wanted, there) if _concerns(line, path)], path


@given(st.data())
def test_anything_that_is_added_to_what_is_ours_is_named(data: st.DataObject) -> None:
    wanted = data.draw(st.sampled_from(OBJECTS))
    there = applied(wanted)
    held = [(path, holder[key]) for holder, key, path in fields(wanted) if isinstance(holder[key], dict | list)]
    inside = {path for path, value in held if value and "metadata" not in path.split(".")}
    open_to = [(holder[key], path) for holder, key, path in fields(there) if path in inside]
    if not open_to:
        return
    value, path = data.draw(st.sampled_from(open_to))
    if isinstance(value, dict):
        value["added"] = "by hand"
        assert f"{joined(path, 'added')} added" in " ".join(drift(wanted, there))
    else:
        value.insert(data.draw(st.integers(0, len(value))), {} if isinstance(value[0], dict) else "more")
        assert [line for line in drift(wanted, there) if line.startswith(path)], path


def _concerns(line: str, path: str) -> bool:
    """Return whether a line names a field, what holds it where a name changed, or what is inside of it."""
    named = line.split(" ", maxsplit=1)[0]
    return named.startswith(path) or path.startswith(named) or named.rpartition("[")[0] == path.rpartition("[")[0]
