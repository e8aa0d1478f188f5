"""Images go from a real engine into nodes: real containerds, reached by their sockets and inside of containers."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from docker_yard import PYTHON
from patience import eventually

from stepflow.errors import MachineError
from stepflow.targets.contract import Progress
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import EngineRefusedError
from stepflow.targets.kubernetes.loading.load import Loading
from stepflow.targets.kubernetes.loading.nodes import Node

pytestmark = pytest.mark.docker

CTR = "/usr/bin/ctr"  # of the package that the tests' engine brings


@dataclass(frozen=True)
class Runtime:
    """A containerd of its own."""

    address: str

    def names(self) -> set[str]:
        done = self.ctr("images", "ls", "-q")
        return {line for line in done.split() if not line.startswith("sha256:")}

    def ctr(self, *arguments: str) -> str:
        command = (CTR, "-a", self.address, "-n", "k8s.io", *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture
def runtimes(tmp_path: Path) -> Iterator[Callable[[], Runtime]]:
    """Start containerds, each with a store of its own."""
    running: list[subprocess.Popen[bytes]] = []

    def start() -> Runtime:
        folder = tmp_path / f"node{len(running)}"
        folder.mkdir()
        config = folder / "config.toml"
        config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        address = str(folder / "a.sock")
        places = ("--root", str(folder / "root"), "--state", str(folder / "state"), "--address", address)
        with (folder / "log").open("wb") as log:
            running.append(subprocess.Popen(("containerd", "--config", config, *places), stdout=log, stderr=log))
        command = (CTR, "-a", address, "--connect-timeout", "1s", "version")
        assert eventually(lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0)
        return Runtime(address)

    yield start
    for each in running:
        each.terminate()
        each.wait(30)


@pytest.fixture
def image(docker_client: docker.DockerClient, tmp_path: Path) -> Iterator[str]:
    """Have a small image on the engine, under a name that no registry has."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        entry = tarfile.TarInfo("hello")
        entry.size = len(tmp_path.name)
        archive.addfile(entry, io.BytesIO(tmp_path.name.encode()))
    reference = "stepflow.local/yard-000000/hello:1"
    docker_client.api.import_image_from_data(content.getvalue(), repository=reference.rpartition(":")[0], tag="1")
    yield reference
    docker_client.images.remove(reference, force=True)


def node(name: str, **more: Any) -> Node:  # noqa: ANN401 - fields of it
    fields = {"addresses": frozenset(), "runtime": "containerd", "version": "", "architecture": "amd64"}
    return Node(name, **{**fields, "images": frozenset(), **more})


async def test_every_node_gets_what_it_lacks_and_nothing_twice(
    runtimes: Callable[[], Runtime], image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = runtimes(), runtimes()
    monkeypatch.setenv("CONTAINERD_ADDRESS", f"{first.address},{second.address}")
    nodes, said = (node("n1"), node("n2")), list[Progress]()
    assert await Loading(Engine(), nodes).load([image], said.append) == ("n1", "n2")
    assert first.names() == second.names() == {image}
    assert "waiting for the archive of hello:1" in {each.answer for each in said if each.waiting_for == "nodes n1, n2"}
    assert await Loading(Engine(), nodes).load([image], said.append) == ()
    second.ctr("images", "rm", image)
    assert await Loading(Engine(), nodes).load([image], said.append) == ("n2",)


async def test_node_that_is_a_container_imports_by_its_own_program(
    runtimes: Callable[[], Runtime], image: str, make: Callable[..., Any]
) -> None:
    runtime = runtimes()
    mounts = [f"{CTR}:/usr/bin/ctr:ro", f"{runtime.address}:/run/containerd/containerd.sock"]
    worker = make(PYTHON, "sleep", "600", volumes=mounts, labels={"io.x-k8s.kind.cluster": "x"}, init=True)
    worker.start()
    worker.reload()
    [network] = worker.attrs["NetworkSettings"]["Networks"].values()
    nodes = (node(worker.name, addresses=frozenset({network["IPAddress"]})),)
    assert await Loading(Engine(), nodes).load([image], print) == (worker.name,)
    assert runtime.names() == {image}
    assert await Loading(Engine(), nodes).load([image], print) == ()


async def test_node_that_does_not_take_an_image_is_named_with_its_words(image: str, make: Callable[..., Any]) -> None:
    worker = make(PYTHON, "sleep", "600", labels={"k3d.cluster": "x"}, init=True)
    worker.start()
    worker.reload()
    [network] = worker.attrs["NetworkSettings"]["Networks"].values()
    nodes = (node(worker.name, addresses=frozenset({network["IPAddress"]})),)
    with pytest.raises(MachineError) as error:
        await Loading(Engine(), nodes).load([image], print)
    assert error.value.message.startswith(f"`{image}` cannot be brought into the node `{worker.name}`: ")
    assert "ctr" in error.value.message
    assert error.value.hint == (
        "`stepflow resume` retries; or `--registry HOST/PATH`: the images are pushed there, and the nodes pull them"
    )


async def test_image_that_the_engine_lost_in_between_is_told(
    runtimes: Callable[[], Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = runtimes()
    monkeypatch.setenv("CONTAINERD_ADDRESS", f"{runtime.address},{runtime.address}")
    with pytest.raises(EngineRefusedError, match=r"the Docker engine refuses: .*(does not exist|No such image)"):
        await Loading(Engine(), (node("n1"), node("n2"))).load(["stepflow.local/none:1"], print)
    assert runtime.names() == set()
