"""Which nodes need images, and how those get there: everything that can be told without a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from stepflow.errors import MachineError
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import GONE, EngineRefusedError
from stepflow.targets.kubernetes.loading.node_loaders import Beside, Inside, Shared, loaders, release
from stepflow.targets.kubernetes.loading.nodes import Node, usable

REGISTRY = "`--registry HOST/PATH`: the images are pushed there, and the nodes pull them"


def raw(name: str = "n1", *, ready: str = "True", taint: tuple[str, str] | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a node as the API does."""
    return {
        "metadata": {"name": name, "annotations": {"kubeadm.alpha.kubernetes.io/cri-socket": "unix:///run/x.sock"}},
        "spec": {"taints": [{"key": taint[0], "effect": taint[1]}] if taint else None, **more},
        "status": {
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}],
            "addresses": [{"type": "InternalIP", "address": "10.9.9.9"}, {"type": "Hostname", "address": name}],
            "nodeInfo": {"containerRuntimeVersion": "containerd://2.1.9", "architecture": "arm64"},
            "images": [{"names": ["docker.io/library/nats:2", "docker.io/library/nats@sha256:0"]}, {"names": None}],
        },
    }


def node(name: str = "n1", address: str = "10.9.9.9", runtime: str = "containerd", **more: Any) -> Node:  # noqa: ANN401 - fields of it
    return Node(name, frozenset({address}), runtime, "2.1.9", "amd64", frozenset(), **more)


class Api:
    """An engine's answers: containers by name."""

    def __init__(self, containers: Mapping[str, Mapping[str, Any]]) -> None:
        self.containers = containers

    def inspect_container(self, name: str) -> Mapping[str, Any]:
        if name not in self.containers:
            raise EngineRefusedError(GONE, f"No such container: {name}")
        return self.containers[name]


class Answering:
    """An engine that answers so."""

    def __init__(self, **containers: Mapping[str, Any]) -> None:
        self.api = Api(containers)

    def ask_now(self, call: Callable[[Api], Any]) -> Any:  # noqa: ANN401 - whatever the call gives
        return call(self.api)


def container(address: str = "172.18.0.2", label: str = "io.x-k8s.kind.cluster") -> dict[str, Any]:
    networks = {"kind": {"IPAddress": address, "GlobalIPv6Address": ""}}
    return {"Id": "c0ffee", "Config": {"Labels": {label: "kind"}}, "NetworkSettings": {"Networks": networks}}


def found(*nodes: Node, info: Mapping[str, Any] | None = None, **containers: Mapping[str, Any]) -> Mapping[str, Any]:
    engine = cast("Engine", Answering(**containers))
    return loaders(nodes, engine, {"Name": "laptop"} if info is None else info)


def refused(*nodes: Node, **containers: Mapping[str, Any]) -> tuple[str, str]:
    with pytest.raises(MachineError) as error:
        found(*nodes, **containers)
    return error.value.message, error.value.hint


@pytest.fixture
def ctr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a `ctr` that tells the version that the socket's file holds."""
    program = tmp_path / "bin/ctr"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "Client:\n  Version:  9.9\nServer:"\ncat "$2"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CONTAINERD_ADDRESS", raising=False)
    monkeypatch.setattr("stepflow.targets.kubernetes.loading.node_loaders._SOCKETS", ())
    return program


def sock(tmp_path: Path, name: str = "a.sock", version: str = "v2.1.9") -> str:
    (tmp_path / name).write_text(f"  Version:  {version}\n")
    return str(tmp_path / name)


def test_node_is_read_as_far_as_images_concern_it() -> None:
    [read] = usable([raw()])
    images = frozenset({"docker.io/library/nats:2", "docker.io/library/nats@sha256:0"})
    addresses = frozenset({"10.9.9.9", "n1"})
    assert read == Node("n1", addresses, "containerd", "2.1.9", "arm64", images, "/run/x.sock")


def test_only_nodes_that_run_and_take_any_pod_need_images() -> None:
    control = ("node-role.kubernetes.io/control-plane", "NoSchedule")
    cordoned = ("node.kubernetes.io/unschedulable", "NoSchedule")
    softly = ("dedicated", "PreferNoSchedule")
    listed = [raw("a"), raw("b", ready="Unknown"), raw("c", taint=control), raw("d", taint=cordoned)]
    windows = raw("w")
    windows["status"]["nodeInfo"]["operatingSystem"] = "windows"
    assert [each.name for each in usable([*listed, windows, raw("e", taint=softly)])] == ["a", "d", "e"]


@pytest.mark.parametrize("label", ["io.x-k8s.kind.cluster", "k3d.cluster", "name.minikube.sigs.k8s.io"])
def test_node_that_is_a_container_of_the_engine_is_reached_inside_of_it(label: str) -> None:
    [way] = found(node("kind-worker", "172.18.0.2"), **{"kind-worker": container(label=label)}).values()
    assert isinstance(way, Inside)
    assert (way.container, way.runtime) == ("c0ffee", "containerd")


@pytest.mark.parametrize("other", [container(address="172.18.0.9"), container(label="mine")])
def test_container_that_only_has_a_nodes_name_is_not_touched(other: dict[str, Any]) -> None:
    assert refused(node("kind-worker", "172.18.0.2"), **{"kind-worker": other}) == (
        "there is no way to bring an image into the node `kind-worker`: it is not on this machine",
        REGISTRY,
    )


def test_node_that_runs_what_the_engine_has_needs_nothing() -> None:
    [way] = found(node("docker-desktop", runtime="docker"), info={"Name": "docker-desktop"}).values()
    assert isinstance(way, Shared)
    assert way.lacks(["a:1"]) == ()


def test_node_that_is_this_machine_is_reached_by_the_socket_of_its_very_runtime(ctr: Path, tmp_path: Path) -> None:
    assert ctr.exists()
    wrong, right = sock(tmp_path, "docker.sock", "1.6.20"), sock(tmp_path, "k3s.sock")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stepflow.targets.kubernetes.loading.node_loaders._SOCKETS", (wrong, right))
        [way] = found(node(address="127.0.0.1")).values()
        assert way == Beside(("ctr",), right)
        patch.setattr("stepflow.targets.kubernetes.loading.node_loaders._SOCKETS", (wrong,))
        assert refused(node(address="127.0.0.1")) == (
            "no containerd on this machine has version 2.1.9, which the node `n1` reports",
            f"looked at {wrong} (1.6.20); name its socket: `CONTAINERD_ADDRESS`; or {REGISTRY}",
        )


@pytest.mark.parametrize(
    ("node_says", "server_says"),
    [("1.6.20", "1.6.20~ds1"), ("1.6.20~ds1", "v1.6.20"), ("2.1.9-k3s1", "v2.1.9-k3s1"), ("2.1.9-k3s1", "2.1.9+dfsg")],
)
def test_containerd_of_a_distribution_is_the_release_that_the_node_names(
    ctr: Path, tmp_path: Path, node_says: str, server_says: str
) -> None:
    """What a distribution appends to a version does not make it another one."""
    assert ctr.exists()
    address = sock(tmp_path, "debian.sock", server_says)
    [way] = found(replace(node(address="127.0.0.1", socket=address), version=node_says)).values()
    assert way == Beside(("ctr",), address)


def test_exact_version_goes_before_the_same_release_of_another_distribution(ctr: Path, tmp_path: Path) -> None:
    """Docker's containerd beside k3s's own has the same numbers."""
    assert ctr.exists()
    other, own = sock(tmp_path, "docker.sock", "v2.1.9"), sock(tmp_path, "k3s.sock", "v2.1.9-k3s1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stepflow.targets.kubernetes.loading.node_loaders._SOCKETS", (other, own))
        [way] = found(replace(node(address="127.0.0.1"), version="2.1.9-k3s1")).values()
    assert way == Beside(("ctr",), own)


def test_release_is_the_numbers_alone_and_a_candidate_is_another() -> None:
    assert release("1.6.20~ds1") == release("v1.6.20") == release("1.6.20-k3s1") == (1, 6, 20)
    assert release("2.0.0-rc.1") != release("2.0.0")
    assert release("") == release("unknown") == ()


@pytest.mark.parametrize("text", ["{}", "unix://{}", " {} ,"])
def test_socket_that_is_named_is_used_whatever_version_answers_and_wherever_the_node_is(
    ctr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    assert ctr.exists()
    named, known = sock(tmp_path, "named.sock", "1.6.20~ds1"), sock(tmp_path, "known.sock", "v2.1.9")
    monkeypatch.setattr("stepflow.targets.kubernetes.loading.node_loaders._SOCKETS", (known,))
    monkeypatch.setenv("CONTAINERD_ADDRESS", text.format(named))
    for address in ("127.0.0.1", "10.9.9.9"):
        [way] = found(node(address=address, socket=known)).values()
        assert way == Beside(("ctr",), named)
    assert refused(node("n1"), node("n2"))[0] == "`CONTAINERD_ADDRESS` names 1 socket, and 2 nodes need images"
    assert refused(node(runtime="cri-o")) == (
        "there is no way to bring an image into the node `n1`, whose runtime is cri-o",
        REGISTRY,
    )


def test_named_socket_that_is_not_there_is_said_and_no_other_is_used(
    ctr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ctr.exists()
    known = sock(tmp_path, "known.sock")
    monkeypatch.setenv("CONTAINERD_ADDRESS", f"{tmp_path / 'none'}")
    assert refused(node(address="127.0.0.1", socket=known)) == (
        f"there is no socket `{tmp_path / 'none'}`, by which an image would get into the node `n1`",
        f"is `CONTAINERD_ADDRESS` right? or {REGISTRY}",
    )


def test_several_sockets_are_those_of_the_nodes_that_nothing_else_reaches(
    ctr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ctr.exists()
    first, second = sock(tmp_path, "a"), sock(tmp_path, "b")
    monkeypatch.setenv("CONTAINERD_ADDRESS", f"{first},unix://{second}")
    there = found(node("n1"), node("n2"), node("kind-worker", "172.18.0.2"), **{"kind-worker": container()})
    assert {name: type(way) for name, way in there.items()} == {"kind-worker": Inside, "n1": Beside, "n2": Beside}
    assert {way.address for way in there.values() if isinstance(way, Beside)} == {first, second}
    assert refused(node("n1"), node("n2"), node("n3")) == (
        "`CONTAINERD_ADDRESS` names 2 sockets, and 3 nodes need images",
        f"name one for each node, or {REGISTRY}",
    )
    monkeypatch.setenv("CONTAINERD_ADDRESS", f"{first},{tmp_path / 'none'}")
    assert refused(node("n1"), node("n2")) == (
        f"there is no socket `{tmp_path / 'none'}`, by which an image would get into the node `n2`",
        f"is `CONTAINERD_ADDRESS` right? or {REGISTRY}",
    )


def test_node_of_this_machine_without_a_known_socket_says_where_it_was_looked_for(ctr: Path) -> None:
    assert ctr.exists()
    assert refused(node(address="127.0.0.1", socket="/run/none.sock")) == (
        "there is no way to bring an image into the node `n1`, whose runtime is containerd; looked for /run/none.sock",
        f"set `CONTAINERD_ADDRESS` to its socket; or {REGISTRY}",
    )
    assert refused(node(address="127.0.0.1", runtime="cri-o"))[0] == (
        "there is no way to bring an image into the node `n1`, whose runtime is cri-o"
    )


def test_program_that_imports_is_named_where_it_is_not_installed(
    ctr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctr.unlink()
    monkeypatch.setenv("PATH", str(ctr.parent))
    assert refused(node(address="127.0.0.1", socket=sock(tmp_path))) == (
        "the program `ctr`, which brings images into a node of this machine, is not there",
        f"it comes with containerd: `apt install containerd`; or {REGISTRY}",
    )
