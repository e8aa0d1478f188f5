"""A pod's volumes: folders of this machine that its containers mount."""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path

from onenode.kinds import Object
from onenode.store import Store

_PLAIN = 0o777


class MissingError(Exception):
    """Something that a pod needs is not there (yet)."""


def lay(store: Store, pod: Object, root: Path) -> dict[str, Path]:
    """Make a pod's volumes and give their folders by name. Raises `MissingError`."""
    found = {}
    group = pod["spec"].get("securityContext", {}).get("fsGroup")
    for volume in pod["spec"].get("volumes", ()):
        name = volume["name"]
        try:
            found[name] = _volume(store, pod, volume, root)
        except MissingError as error:
            raise MissingError(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error
        if group is not None:
            _give(found[name], group)
    return found


def _volume(store: Store, pod: Object, volume: Object, root: Path) -> Path:
    folder = root / "pods" / pod["metadata"]["uid"] / volume["name"]
    if "persistentVolumeClaim" in volume:
        claim = store.find(
            "PersistentVolumeClaim", pod["metadata"]["namespace"], volume["persistentVolumeClaim"]["claimName"]
        )
        if claim is None:
            raise MissingError("the claim is gone")
        folder = root / "claims" / claim["metadata"]["uid"]
    folder.mkdir(parents=True, exist_ok=True)
    if "persistentVolumeClaim" in volume or "emptyDir" in volume:
        folder.chmod(_PLAIN)
        return folder
    sources = volume["projected"]["sources"] if "projected" in volume else [volume]
    mode = next((volume[key]["defaultMode"] for key in ("projected", "secret", "configMap") if key in volume), 0o644)
    for source in sources:
        for path, content, own in _files(store, pod["metadata"]["namespace"], source):
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(own or mode)
    return folder


def _files(store: Store, namespace: str, source: Object) -> list[tuple[str, bytes, int]]:
    """Give what a Secret or a ConfigMap has: path, content and mode (0: the volume's)."""
    for key, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
        if key not in source:
            continue
        name = source[key].get("secretName", source[key].get("name", ""))
        found = content_of(store, namespace, kind, name)
        if found is None:
            if source[key].get("optional"):
                return []
            raise MissingError(f'{kind.lower()} "{name}" not found')
        items = source[key].get("items")
        if items is None:
            return [(name, content, 0) for name, content in found.items()]
        for item in items:
            if item["key"] not in found:
                raise MissingError(f"references non-existent {kind.lower()} key: {item['key']}")
        return [(item["path"], found[item["key"]], item.get("mode", 0)) for item in items]
    raise MissingError(f"volumes of the kind {', '.join(source)} are not made here")


def content_of(store: Store, namespace: str, kind: str, name: str) -> dict[str, bytes] | None:
    """Give the entries of a Secret or a ConfigMap; None where it is not there."""
    body = store.find(kind, namespace, name)
    if body is None:
        return None
    if kind == "Secret":
        return {key: b64decode(value) for key, value in body.get("data", {}).items()}
    text = {key: value.encode() for key, value in body.get("data", {}).items()}
    return text | {key: b64decode(value) for key, value in body.get("binaryData", {}).items()}


def _give(folder: Path, group: int) -> None:
    """Let a group read, and write where the owner may, as `fsGroup` does."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        os.chown(path, -1, group)
        mode = path.stat().st_mode & 0o7777
        wanted = mode | (mode & 0o600) >> 3
        path.chmod(wanted | 0o2070 if path.is_dir() else wanted)
