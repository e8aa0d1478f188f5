"""What makes one object of another: a JSON Patch (RFC 6902), as kustomize applies it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepflow.targets.kubernetes.manifests.model import Object

Key = tuple[str, str, str]


def key(item: Object) -> Key:
    """Tell an object from all others of a namespace."""
    return (item["apiVersion"], item["kind"], item["metadata"]["name"])


def patch(before: Object, after: Object) -> list[Object]:
    """Give the operations that make `after` of `before`; none when they are equal."""
    return list(_operations("", before, after))


def _operations(path: str, before: Any, after: Any) -> Iterator[Object]:  # noqa: ANN401 - any JSON
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_mappings(path, before, after)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _operations(f"{path}/{index}", old, new)
    elif before != after:
        yield {"op": "replace", "path": path, "value": after}


def _of_mappings(path: str, before: Object, after: Object) -> Iterator[Object]:
    for name in before:
        below = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
        if name in after:
            yield from _operations(below, before[name], after[name])
        else:
            yield {"op": "remove", "path": below}
    for name in after:
        if name not in before:
            yield {"op": "add", "path": f"{path}/{name.replace('~', '~0').replace('/', '~1')}", "value": after[name]}
