"""The nodes that a platform's pods can be put on, as far as images concern them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stepflow.targets.kubernetes.api.kinds import Object

_SOCKET = "kubeadm.alpha.kubernetes.io/cri-socket"
_PASSING = "node.kubernetes.io/"  # begins the taints that come and go: cordoned, under pressure, not ready yet


@dataclass(frozen=True, slots=True)
class Node:
    """One node."""

    name: str
    addresses: frozenset[str]  # its addresses and host names
    runtime: str  # `containerd`, `docker`, `cri-o`
    version: str  # of the runtime
    architecture: str  # `amd64`, `arm64`
    images: frozenset[str]  # references, with their registry; a node with many lists only some
    socket: str = ""  # path of its runtime's socket on it, where kubeadm wrote it down


def usable(objects: Iterable[Object]) -> tuple[Node, ...]:
    """Return the Linux nodes that run and take any pod; one that is cordoned will take some again."""
    return tuple(_node(each) for each in objects if _ready(each) and not _reserved(each) and not _windows(each))


def _node(each: Object) -> Node:
    status, meta = each["status"], each["metadata"]
    info = status["nodeInfo"]
    runtime, _, version = info["containerRuntimeVersion"].partition("://")
    names = (name for image in status.get("images") or () for name in image.get("names") or ())
    return Node(
        meta["name"],
        frozenset(address["address"] for address in status.get("addresses") or ()),
        runtime,
        version,
        info["architecture"],
        frozenset(names),
        meta.get("annotations", {}).get(_SOCKET, "").removeprefix("unix://"),
    )


def _ready(each: Object) -> bool:
    conditions = each.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _windows(each: Object) -> bool:
    return bool(each["status"]["nodeInfo"].get("operatingSystem") == "windows")


def _reserved(each: Object) -> bool:
    taints = each.get("spec", {}).get("taints") or ()
    return any(one["effect"] in {"NoSchedule", "NoExecute"} and not one["key"].startswith(_PASSING) for one in taints)
