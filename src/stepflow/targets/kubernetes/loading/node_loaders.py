"""How an image gets from the engine into a node without a registry: where the node is on this machine."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from stepflow.errors import MachineError
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import GONE, EngineRefusedError
from stepflow.targets.kubernetes.loading.nodes import Node

REGISTRY = "`--registry HOST/PATH`: the images are pushed there, and the nodes pull them"
_LIST = ("-n", "k8s.io", "images", "ls", "-q")
_IMPORT = ("-n", "k8s.io", "images", "import", "-")
_INSIDE = {"containerd": ("ctr", *_IMPORT), "docker": ("docker", "load"), "cri-o": ("podman", "load")}
"""What imports an archive inside a node, by its runtime."""
_OF_NODES = ("io.x-k8s.kind.cluster", "k3d.cluster", "name.minikube.sigs.k8s.io")
"""Labels of containers that are nodes."""
_SOCKETS = (
    "/run/k3s/containerd/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/run/k0s/containerd.sock",
    "/run/containerd/containerd.sock",
)
_PROGRAMS = (("ctr",), ("k3s", "ctr"), ("microk8s", "ctr"), ("k0s", "ctr"))
_PATIENCE = 30  # seconds for a question


class NodeLoader(Protocol):
    """A way into a node; its calls block."""

    def lacks(self, references: Collection[str]) -> tuple[str, ...]:
        """Return those of the references that are not there, as far as the node can say."""

    def take(self, pieces: Iterable[bytes]) -> tuple[int, str]:
        """Import an archive; return an exit code, and what was said."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The node runs what the engine has."""

    def lacks(self, references: Collection[str]) -> tuple[str, ...]:
        """Nothing: what is to be loaded comes from that very engine."""
        del references
        return ()

    def take(self, pieces: Iterable[bytes]) -> tuple[int, str]:
        """Nothing has to be brought."""
        del pieces
        return 0, ""


@dataclass(frozen=True, slots=True)
class Inside:
    """The node is a container of the engine: kind, k3d, minikube."""

    engine: Engine
    container: str
    runtime: str
    images: frozenset[str]  # as its node lists them

    def lacks(self, references: Collection[str]) -> tuple[str, ...]:
        """Ask its containerd; of other runtimes, see what the node lists."""
        there = self.images
        if self.runtime == "containerd":
            code, said = self.engine.feed(self.container, ("ctr", *_LIST), ())
            there = frozenset(said.split()) if code == 0 else frozenset()
        return _without(there, references)

    def take(self, pieces: Iterable[bytes]) -> tuple[int, str]:
        """Import by the node's own program."""
        return self.engine.feed(self.container, _INSIDE[self.runtime], pieces)


@dataclass(frozen=True, slots=True)
class Beside:
    """The node is this machine, or has its socket here: k3s, microk8s, kubeadm."""

    program: tuple[str, ...]
    address: str

    def lacks(self, references: Collection[str]) -> tuple[str, ...]:
        """Ask its containerd."""
        return _without(_said((*self.program, "-a", self.address, *_LIST)).split(), references)

    def take(self, pieces: Iterable[bytes]) -> tuple[int, str]:
        """Import through its socket."""
        command = (*self.program, "-a", self.address, *_IMPORT)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as running:
            assert running.stdin is not None
            try:
                with suppress(BrokenPipeError):  # it ended early, and its words say why
                    for piece in pieces:
                        running.stdin.write(piece)
            except BaseException:
                running.kill()  # half an archive would look like a whole one that is broken
                raise
            _, said = running.communicate()
        return running.returncode, said.decode(errors="replace")


def loaders(nodes: Sequence[Node], engine: Engine, info: Mapping[str, Any]) -> Mapping[str, NodeLoader]:
    """Find the way into each node, by its name; blocking. `info` is what the engine tells of itself.

    Sockets that `CONTAINERD_ADDRESS` names are used as named, whatever version answers there: they are those of the
    nodes that are not containers of the engine. Raises `MachineError`, naming the node, where there is no way, or none
    for this user.
    """
    found = {node.name: way for node in nodes if (way := _by_engine(node, engine, info))}
    rest = [node for node in nodes if node.name not in found]
    named = _named()
    if rest and named:
        return found | _by_name(rest, named)
    return found | {node.name: _beside(node) for node in rest}


def _named() -> list[str]:
    """Return the sockets of `CONTAINERD_ADDRESS`: a path or `unix://` URL, several with commas between."""
    parts = (part.strip().removeprefix("unix://") for part in os.environ.get("CONTAINERD_ADDRESS", "").split(","))
    return [part for part in parts if part]


def _by_name(nodes: Sequence[Node], sockets: Sequence[str]) -> dict[str, NodeLoader]:
    """Pair nodes with named sockets; which of them is whose does not matter, as each gets what it lacks."""
    for node in nodes:
        if node.runtime != "containerd":
            raise MachineError(_no_way(node), hint=REGISTRY)
    if len(sockets) < len(nodes):
        count = f"{len(sockets)} socket{'s' if len(sockets) > 1 else ''}"
        problem = f"`CONTAINERD_ADDRESS` names {count}, and {len(nodes)} nodes need images"
        raise MachineError(problem, hint=f"name one for each node, or {REGISTRY}")
    names = [*(node.name for node in nodes), *sockets[len(nodes) :]]
    program = _program()
    pairs = zip(names, sockets, strict=True)
    return {name: Beside(program, _allowed(address, name)) for name, address in pairs}


def _by_engine(node: Node, engine: Engine, info: Mapping[str, Any]) -> NodeLoader | None:
    if not info:
        return None
    if node.runtime == "docker" and info.get("Name") == node.name:  # Docker Desktop, Rancher Desktop, OrbStack, Colima
        return Shared()
    try:
        there = engine.ask_now(lambda api: api.inspect_container(node.name))
    except EngineRefusedError as error:
        if error.status != GONE:
            raise
        return None
    networks = there["NetworkSettings"]["Networks"] or {}
    addresses = {one[key] for one in networks.values() for key in ("IPAddress", "GlobalIPv6Address")} - {""}
    if not addresses & node.addresses or not any(label in (there["Config"]["Labels"] or {}) for label in _OF_NODES):
        return None  # another machine's node has the same name
    return Inside(engine, there["Id"], node.runtime, node.images) if node.runtime in _INSIDE else None


def _beside(node: Node) -> NodeLoader:
    """Find the socket of a node that is this machine: the runtime of the version that the node reports."""
    if not _here(node):
        raise MachineError(
            f"there is no way to bring an image into the node `{node.name}`: it is not on this machine", hint=REGISTRY
        )
    candidates = [address for address in (node.socket, *_SOCKETS) if address]
    there = [address for address in dict.fromkeys(candidates) if Path(address).exists()]
    if node.runtime != "containerd" or not there:
        looked = f"; looked for {', '.join(candidates)}" if node.runtime == "containerd" else ""
        hint = f"set `CONTAINERD_ADDRESS` to its socket; or {REGISTRY}"
        raise MachineError(f"{_no_way(node)}{looked}", hint=hint)
    program = _program()
    versions = {address: _version((*program, "-a", _allowed(address, node.name), "version")) for address in there}
    same = [address for address in there if versions[address] == node.version]
    same += [address for address in there if release(versions[address]) == release(node.version) != ()]
    if same:
        return Beside(program, same[0])
    problem = f"no containerd on this machine has version {node.version}, which the node `{node.name}` reports"
    looked = ", ".join(f"{address} ({versions[address] or 'does not answer'})" for address in there)
    raise MachineError(problem, hint=f"looked at {looked}; name its socket: `CONTAINERD_ADDRESS`; or {REGISTRY}")


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version: (1, 6, 20) of `v1.6.20~ds1` (Debian), `1.6.20-k3s1` and `1.6.20+unknown`.

    () where it has none. A candidate is not its release: `2.0.0-rc.1` has the numbers (2, 0, 0, 1).
    """
    found = re.match(r"v?(\d+(?:\.\d+)*)(?:-(?:alpha|beta|rc)\.?(\d+))?", version.strip())
    return tuple(int(number) for group in found.groups() if group for number in group.split(".")) if found else ()


def _version(command: Sequence[str]) -> str:
    """Return the version of the server that `ctr version` names."""
    found = re.search(r"^\s*Version:\s*v?(\S+)", _said(command).partition("Server:")[2], re.MULTILINE)
    return found[1] if found else ""


def _no_way(node: Node) -> str:
    return f"there is no way to bring an image into the node `{node.name}`, whose runtime is {node.runtime}"


def _here(node: Node) -> bool:
    own = {address.address for each in psutil.net_if_addrs().values() for address in each}
    return bool(node.addresses & (own | {socket.gethostname()}))


def _program() -> tuple[str, ...]:
    found = next((each for each in _PROGRAMS if shutil.which(each[0])), None)
    if found is None:
        problem = "the program `ctr`, which brings images into a node of this machine, is not there"
        raise MachineError(problem, hint=f"it comes with containerd: `apt install containerd`; or {REGISTRY}")
    return found


def _allowed(address: str, node: str) -> str:
    """Return the socket. Raises `MachineError` where it is not there, or not for this user."""
    if not Path(address).exists():
        problem = f"there is no socket `{address}`, by which an image would get into the node `{node}`"
        raise MachineError(problem, hint=f"is `CONTAINERD_ADDRESS` right? or {REGISTRY}")
    if not os.access(address, os.R_OK | os.W_OK):
        problem = f"this user may not use `{address}`, by which an image would get into the node `{node}`"
        raise MachineError(problem, hint=f"run as root, or {REGISTRY}")
    return address


def _without(there: Collection[str], references: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(set(references) - set(there)))


def _said(command: Sequence[str]) -> str:
    """Return the output of a program; "" if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
