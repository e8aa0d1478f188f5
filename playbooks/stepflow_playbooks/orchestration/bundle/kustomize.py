"""The objects as manifests for kustomize: a base that both overlays share, and what each overlay adds or changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepflow.targets.kubernetes.bundle import Manifests, Object

from .yaml_writer import document, stream

KUSTOMIZATION = "kustomization.yaml"
_ObjectKey = tuple[str, str, str]


def kustomize_files(production: Manifests, development: Manifests) -> dict[str, str]:
    """Return the files below one folder: `base`, `overlays/production` and `overlays/development`.

    Each overlay renders exactly the objects that it was made from.
    """
    desired = {_key(item): item for items in development.values() for item in items}
    base = {name: [item for item in items if _key(item) in desired] for name, items in production.items()}
    base = {name: items for name, items in base.items() if items}
    files = _folder("base", base, [])
    files |= _folder("overlays/production", _beyond(production, base), [])
    return files | _folder("overlays/development", _beyond(development, base), _changes(base, desired))


def _beyond(found: Manifests, base: Manifests) -> Manifests:
    """Return the objects that an overlay has in addition to the base."""
    shared = {_key(item) for items in base.values() for item in items}
    more = {name: [item for item in items if _key(item) not in shared] for name, items in found.items()}
    return {name: items for name, items in more.items() if items}


def _changes(base: Manifests, desired: dict[_ObjectKey, Object]) -> list[Object]:
    changes = []
    for item in (item for items in base.values() for item in items):
        operations = list(_operations("", item, desired[_key(item)]))
        if operations:
            group, _, version = item["apiVersion"].rpartition("/")
            target = {"group": group, "version": version, "kind": item["kind"], "name": item["metadata"]["name"]}
            changes.append({"target": target, "patch": document(operations)})
    return changes


def _folder(folder: str, found: Manifests, changes: list[Object]) -> dict[str, str]:
    below = ["../../base"] if folder.startswith("overlays/") else []
    kustomization: Object = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [*below, *(f"{name}.yaml" for name in found)],
    }
    if changes:
        kustomization["patches"] = changes
    files = {f"{folder}/{name}.yaml": stream(items) for name, items in found.items()}
    return files | {f"{folder}/{KUSTOMIZATION}": stream([kustomization])}


def _key(item: Object) -> _ObjectKey:
    """Return what distinguishes an object from all others of a namespace."""
    return (item["apiVersion"], item["kind"], item["metadata"]["name"])


def _operations(path: str, before: Any, after: Any) -> Iterator[Object]:  # noqa: ANN401 - any JSON
    """Iterate over the operations of a JSON Patch (RFC 6902) that turn `before` into `after`."""
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_mappings(path, before, after)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _operations(f"{path}/{index}", old, new)
    elif before != after:
        yield {"op": "replace", "path": path, "value": after}


def _of_mappings(path: str, before: Object, after: Object) -> Iterator[Object]:
    for name in before:
        below = f"{path}/{_pointer(name)}"
        if name in after:
            yield from _operations(below, before[name], after[name])
        else:
            yield {"op": "remove", "path": below}
    for name in after:
        if name not in before:
            yield {"op": "add", "path": f"{path}/{_pointer(name)}", "value": after[name]}


def _pointer(name: str) -> str:
    """Return a name as a part of a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
