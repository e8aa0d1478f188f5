"""What the engine is told of a pod's container, and the pod's volumes: folders of this machine that it mounts."""

from __future__ import annotations

import os
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path

from onenode.kinds import Object
from onenode.objects import Store

_ENTRY = re.compile(r"metadata\.(annotations|labels)\['(.+)'\]")


class MissingError(Exception):
    """Something that a pod needs is not there (yet)."""


def config(container: Object, pod: Object, address: str, node: str) -> Object:
    """Return what a container is: image, command, user, variables."""
    security = pod["spec"].get("securityContext", {}) | container.get("securityContext", {})
    made: Object = {
        "image": container["image"], "environment": _environment(container, pod, address, node),
        "hostname": pod["spec"].get("hostname", pod["metadata"]["name"])[:63],
        "user": f"{security['runAsUser']}:{security.get('runAsGroup', 0)}",
    }  # fmt: skip
    if "command" in container:
        made["entrypoint"] = container["command"]
    if "args" in container or "command" in container:
        made["command"] = container.get("args", [])
    return made


def _environment(container: Object, pod: Object, address: str, node: str) -> dict[str, str]:
    """Return a container's variables: plain values, and those from fields of the pod."""
    fields = {
        "status.podIP": address, "status.hostIP": "127.0.0.1", "spec.nodeName": node,
        "metadata.name": pod["metadata"]["name"], "metadata.namespace": pod["metadata"]["namespace"],
    }  # fmt: skip

    def value(each: Object) -> str:
        if "valueFrom" not in each:
            return str(each["value"])
        path = each["valueFrom"].get("fieldRef", {}).get("fieldPath", "")
        if entry := _ENTRY.fullmatch(path):
            return str((pod["metadata"].get(entry[1]) or {}).get(entry[2], ""))  # as a kubelet does
        if path not in fields:
            raise NotImplementedError(f"variable `{each['name']}` is from what the tests' node does not know: {each}")
        return fields[path]

    return {each["name"]: value(each) for each in container.get("env", ())}


def host_config(container: Object, pod: Object, folders: Mapping[str, Path], server: str) -> Object:
    """Return how a container runs: rights, mounts, names."""
    own, shared = container.get("securityContext", {}), pod["spec"].get("securityContext", {})
    groups = [*shared.get("supplementalGroups", ()), *([shared["fsGroup"]] if "fsGroup" in shared else [])]
    domains = [f"{pod['metadata']['namespace']}.svc.cluster.local", "svc.cluster.local", "cluster.local"]
    dns = {each["name"]: each.get("value", "") for each in pod["spec"].get("dnsConfig", {}).get("options", ())}
    made: Object = {
        "binds": [_bind(mount, folders) for mount in container.get("volumeMounts", ())],
        "read_only": own.get("readOnlyRootFilesystem", False), "privileged": own.get("privileged", False),
        "cap_drop": own.get("capabilities", {}).get("drop", []), "cap_add": own.get("capabilities", {}).get("add", []),
        "group_add": [str(each) for each in groups], "dns": [server], "dns_search": domains,
        "dns_opt": [f"{name}:{value}" if value else name for name, value in ({"ndots": "5"} | dns).items()],
        "init": False,
    }  # fmt: skip
    if own.get("allowPrivilegeEscalation") is False:
        made["security_opt"] = ["no-new-privileges"]
    return made


def _bind(mount: Object, folders: Mapping[str, Path]) -> str:
    folder = folders[mount["name"]]
    if "subPath" in mount:
        inner = folder / mount["subPath"]
        if not inner.exists():
            owner = folder.stat()
            inner.mkdir(parents=True)
            inner.chmod(owner.st_mode & 0o7777)
            os.chown(inner, owner.st_uid, owner.st_gid)
        folder = inner
    return f"{folder}:{mount['mountPath']}" + (":ro" if mount.get("readOnly") else "")


def lay(store: Store, pod: Object, root: Path) -> dict[str, Path]:
    """Create a pod's volumes and return their folders by name. Raises `MissingError`."""
    found = {}
    group = pod["spec"].get("securityContext", {}).get("fsGroup")
    for volume in pod["spec"].get("volumes", ()):
        folder = found[volume["name"]] = _volume(store, pod, volume, root)
        if group is not None:
            _give(folder, group)
    return found


def _volume(store: Store, pod: Object, volume: Object, root: Path) -> Path:
    namespace: str = pod["metadata"]["namespace"]
    folder: Path = root / "pods" / pod["metadata"]["uid"] / volume["name"]
    claimed = volume.get("persistentVolumeClaim")
    if claimed:
        claim = store.get("PersistentVolumeClaim", namespace, claimed["claimName"])
        folder = root / "claims" / claim["metadata"]["uid"]
    folder.mkdir(parents=True, exist_ok=True)
    if claimed or "emptyDir" in volume:
        folder.chmod(0o777)
        return folder
    sources = volume["projected"]["sources"] if "projected" in volume else [volume]
    mode = next(volume[key]["defaultMode"] for key in ("projected", "secret", "configMap") if key in volume)
    for source in sources:
        for path, content, own in _files(store, namespace, volume["name"], source):
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(own or mode)
    return folder


def _files(store: Store, namespace: str, volume: str, source: Object) -> Iterator[tuple[str, bytes, int]]:
    """Yield what a Secret or a ConfigMap holds: path, content and mode (0: the volume's)."""
    kind = "Secret" if "secret" in source else "ConfigMap"
    asked = source["secret" if kind == "Secret" else "configMap"]
    name = asked.get("secretName", asked.get("name", ""))
    body = store.find(kind, namespace, name)
    if body is None:
        raise MissingError(f'MountVolume.SetUp failed for volume "{volume}" : {kind.lower()} "{name}" not found')
    data = body.get("data", {})
    content = {key: b64decode(value) if kind == "Secret" else value.encode() for key, value in data.items()}
    for item in asked.get("items", [{"key": key, "path": key} for key in content]):
        yield item["path"], content[item["key"]], item.get("mode", 0)


def _give(folder: Path, group: int) -> None:
    """Let a group read, and write where the owner may, as `fsGroup` does."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, -1, group)
        mode = path.stat().st_mode & 0o7777
        wanted = mode | (mode & 0o600) >> 3
        path.chmod(wanted | 0o2070 if path.is_dir() else wanted)
