"""What of a pod's container the engine is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from onenode.kinds import Object
from onenode.node.volumes import MissingError, content_of
from onenode.store import Store

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_FIELD = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


def environment(store: Store, pod: Object, container: Object, address: str, node: str) -> dict[str, str]:
    """Give a container's variables. Raises `MissingError` for a Secret, ConfigMap or key that is not there."""
    namespace, found = pod["metadata"]["namespace"], {}
    for source in container.get("envFrom", ()):
        for key, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            if key in source:
                entries = _entries(store, namespace, kind, source[key]) or {}
                found |= {source.get("prefix", "") + name: value.decode() for name, value in entries.items()}
    fields = {"status.podIP": address, "status.hostIP": "127.0.0.1", "spec.nodeName": node}
    for each in container.get("env", ()):
        if "valueFrom" in each:
            value = _value(store, pod, each["valueFrom"], fields)
            if value is not None:
                found[each["name"]] = value
        else:
            found[each["name"]] = expanded(each.get("value", ""), found)
    return found


def _entries(store: Store, namespace: str, kind: str, source: Object) -> dict[str, bytes] | None:
    entries = content_of(store, namespace, kind, source["name"])
    if entries is None and not source.get("optional"):
        raise MissingError(f'{kind.lower()} "{source["name"]}" not found')
    return entries


def _value(store: Store, pod: Object, source: Object, fields: Mapping[str, str]) -> str | None:
    for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if key in source:
            space, wanted = pod["metadata"]["namespace"], source[key]
            entries = _entries(store, space, kind, wanted) or {}
            if wanted["key"] in entries:
                return entries[wanted["key"]].decode()
            if wanted.get("optional"):
                return None
            raise MissingError(f"couldn't find key {wanted['key']} in {kind} {space}/{wanted['name']}")
    path = source["fieldRef"]["fieldPath"]
    if found := _FIELD.fullmatch(path):
        return str(pod["metadata"].get(found[1], {}).get(found[2], ""))
    if path in fields:
        return fields[path]
    body: object = pod
    for part in path.split("."):
        body = body.get(part, "") if isinstance(body, dict) else ""
    return str(body)


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Put variables in for `$(NAME)`; `$$` is a dollar, and what is unknown stays."""

    def put(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else variables.get(found[1], found[0])

    return _REFERENCE.sub(put, text)


def config(container: Object, pod: Object, variables: Mapping[str, str]) -> Object:
    """Give what a container is."""
    security = pod["spec"].get("securityContext", {}) | container.get("securityContext", {})
    made: Object = {
        "image": container["image"], "environment": dict(variables),
        "hostname": pod["spec"].get("hostname", pod["metadata"]["name"])[:63],
    }  # fmt: skip
    if "command" in container:
        made["entrypoint"] = [expanded(each, variables) for each in container["command"]]
    if "args" in container or "command" in container:
        made["command"] = [expanded(each, variables) for each in container.get("args", ())]
    if "workingDir" in container:
        made["working_dir"] = container["workingDir"]
    if "runAsUser" in security:
        made["user"] = f"{security['runAsUser']}:{security.get('runAsGroup', 0)}"
    return made


def host_config(container: Object, pod: Object, folders: Mapping[str, Path], server: str) -> Object:
    """Give how it is run: rights, mounts, names."""
    own, shared = container.get("securityContext", {}), pod["spec"].get("securityContext", {})
    groups = [*shared.get("supplementalGroups", ()), *([shared["fsGroup"]] if "fsGroup" in shared else [])]
    namespace = pod["metadata"]["namespace"]
    domains = [f"{namespace}.svc.cluster.local", "svc.cluster.local", "cluster.local"]
    dns = {each["name"]: each.get("value", "") for each in pod["spec"].get("dnsConfig", {}).get("options", ())}
    made: Object = {
        "binds": [_bind(mount, folders) for mount in container.get("volumeMounts", ())],
        "read_only": own.get("readOnlyRootFilesystem", False), "privileged": own.get("privileged", False),
        "cap_drop": own.get("capabilities", {}).get("drop", []), "cap_add": own.get("capabilities", {}).get("add", []),
        "group_add": [str(each) for each in groups], "dns": [server], "dns_search": domains,
        "dns_opt": [f"{name}:{value}" if value else name for name, value in ({"ndots": "5"} | dns).items()],
        "init": False,
        "extra_hosts": {
            name: alias["ip"] for alias in pod["spec"].get("hostAliases", ()) for name in alias["hostnames"]
        },
    }  # fmt: skip
    if own.get("allowPrivilegeEscalation") is False:
        made["security_opt"] = ["no-new-privileges"]
    return made


def _bind(mount: Object, folders: Mapping[str, Path]) -> str:
    folder = folders[mount["name"]]
    if "subPath" in mount:
        inner = folder / mount["subPath"]
        if not inner.exists():
            inner.mkdir(parents=True)
            inner.chmod(folder.stat().st_mode & 0o7777)
            _same_owner(folder, inner)
        folder = inner
    return f"{folder}:{mount['mountPath']}" + (":ro" if mount.get("readOnly") else "")


def _same_owner(folder: Path, inner: Path) -> None:
    from os import chown  # noqa: PLC0415 - not on every system that reads this

    owner = folder.stat()
    chown(inner, owner.st_uid, owner.st_gid)
