"""The objects as plain manifests with kustomize: a base that the two overlays share, and what each adds or changes."""

from __future__ import annotations

from stepflow.targets.kubernetes.manifests.model import Object

from .manifests import Manifests
from .patches import key, patch
from .text import document, stream

KUSTOMIZATION = "kustomization.yaml"


def kustomize_files(production: Manifests, development: Manifests) -> dict[str, str]:
    """Give the files below one folder: `base`, `overlays/production` and `overlays/development`.

    An overlay renders exactly the objects that it was given.
    """
    wanted = {key(item): item for items in development.values() for item in items}
    base = {name: [item for item in items if key(item) in wanted] for name, items in production.items()}
    base = {name: items for name, items in base.items() if items}
    files = _folder("base", base, [])
    files |= _folder("overlays/production", _beyond(production, base), [])
    return files | _folder("overlays/development", _beyond(development, base), _changes(base, wanted))


def _beyond(found: Manifests, base: Manifests) -> Manifests:
    """Give what an overlay has and the base has not."""
    shared = {key(item) for items in base.values() for item in items}
    more = {name: [item for item in items if key(item) not in shared] for name, items in found.items()}
    return {name: items for name, items in more.items() if items}


def _changes(base: Manifests, wanted: dict[tuple[str, str, str], Object]) -> list[Object]:
    changes = []
    for item in (item for items in base.values() for item in items):
        operations = patch(item, wanted[key(item)])
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
