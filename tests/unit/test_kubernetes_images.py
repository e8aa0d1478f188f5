"""By which reference pods name an image that is not built here, and what is said where none can get there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from stepflow.errors import MachineError
from stepflow.handoff import ServerFile
from stepflow.targets.contract import Desired, Progress, Site
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import GONE, EngineRefusedError
from stepflow.targets.images import IMAGES
from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.api.errors import ClusterRefusedError
from stepflow.targets.kubernetes.converge.where import names_of
from stepflow.targets.kubernetes.loading.images import Supply, require_builder
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.targets.resolution import resolution
from stepflow.workload import Declaration, HttpProbe, Server, Workload

NATS = IMAGES["nats"]
TAG = f"docker.io/library/{NATS.repository}:{NATS.tag}"
DIGEST = f"docker.io/library/{NATS.repository}@{NATS.digest}"
WHOLE = f"{TAG}@{NATS.digest}"


class Nodes:
    """A cluster whose nodes have these images, run by this runtime; None: one may not see them."""

    def __init__(self, *images: tuple[str, ...], runtime: str = "containerd://2.1.9") -> None:
        self.images, self.runtime = images, runtime

    async def list(self, api_version: str, kind: str) -> list[dict[str, Any]]:
        assert (api_version, kind) == ("v1", "Node")
        return [self._node(number, names) for number, names in enumerate(self.images)]

    def _node(self, number: int, names: tuple[str, ...]) -> dict[str, Any]:
        return {
            "metadata": {"name": f"n{number}"},
            "spec": {},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.9.9.9"}],
                "nodeInfo": {"containerRuntimeVersion": self.runtime, "architecture": "amd64"},
                "images": [{"names": list(names)}],
            },
        }


class Closed(Nodes):
    """A cluster whose nodes one may not see."""

    async def list(self, api_version: str, kind: str) -> list[dict[str, Any]]:
        raise ClusterRefusedError(403, "ClusterRefusedError", f"you cannot list {kind} of {api_version}")


class Store:
    """An engine that has these images and is the machine `n0`; `named` is what was given another name."""

    def __init__(self, *images: str) -> None:
        self.has, self.named = images, dict[str, str]()

    def tag(self, image: str, repository: str, tag: str) -> None:
        if image not in self.has:
            raise EngineRefusedError(GONE, f"No such image: {image}")
        self.named[f"{repository}:{tag}"] = image

    async def ask(self, call: Callable[[Store], Any]) -> Any:  # noqa: ANN401 - whatever the call gives
        return call(self)

    def ask_now(self, call: Callable[[Store], Any]) -> Any:  # noqa: ANN401 - likewise
        return call(self)

    def inspect_container(self, name: str) -> Mapping[str, Any]:
        raise EngineRefusedError(GONE, f"No such container: {name}")

    async def info(self) -> Mapping[str, Any]:
        return {"Name": "n0", "Architecture": "x86_64"}


@pytest.fixture
def reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.delenv("CONTAINERD_ADDRESS", raising=False)

    async def of_nats(nodes: Nodes, engine: Store, said: list[Progress] | None = None, **options: str) -> str:
        site = Site(
            "shop", tmp_path / "state", tmp_path / "out", {name.replace("_", "."): v for name, v in options.items()}
        )
        supply = Supply(cast("Client", nodes), KubernetesIdentity.of(site), site, cast("Engine", engine))
        return await supply.official("nats", (said if said is not None else []).append)

    return of_nats


async def test_image_that_no_node_has_is_pulled_by_its_digest(reference: Callable[..., Any]) -> None:
    assert await reference(Nodes(()), Store()) == WHOLE
    assert await reference(Nodes(()), Store(str(NATS))) == WHOLE  # there is no way into that node
    assert await reference(Nodes(), Store()) == WHOLE
    assert await reference(Closed(), Store()) == WHOLE


async def test_image_that_a_node_has_by_its_digest_stays_named_by_it(reference: Callable[..., Any]) -> None:
    engine = Store(f"{NATS.repository}:{NATS.tag}")
    assert await reference(Nodes((DIGEST,), (), runtime="docker://28"), engine) == WHOLE
    assert engine.named == {}


async def test_image_that_all_nodes_have_by_its_tag_alone_is_named_by_it(reference: Callable[..., Any]) -> None:
    assert await reference(Nodes((TAG,), (TAG,)), Store()) == TAG
    assert await reference(Nodes((TAG,), ()), Store()) == WHOLE


async def test_image_of_the_engine_is_named_by_its_tag_where_it_gets_into_the_nodes(
    reference: Callable[..., Any],
) -> None:
    engine = Store(f"{NATS.repository}@{NATS.digest}")
    assert await reference(Nodes((), runtime="docker://28"), engine) == TAG
    assert engine.named == {TAG: f"{NATS.repository}@{NATS.digest}"}
    assert await reference(Nodes((), runtime="docker://28"), engine, registry="r.example/x") == WHOLE


async def test_another_image_is_named_as_it_was_given(reference: Callable[..., Any]) -> None:
    assert await reference(Nodes(()), Store(), image_nats="mirror.example/nats:3") == "mirror.example/nats:3"


async def test_image_that_is_built_says_what_to_do_where_nodes_cannot_be_seen(tmp_path: Path) -> None:
    site = Site("shop", tmp_path / "state", tmp_path / "out")
    for nodes, problem in (
        (
            Closed(),
            "images cannot be brought into nodes that cannot be seen: the cluster refuses: you cannot list Node",
        ),
        (Nodes(), "the cluster has no node that is ready and takes any pod"),
    ):
        supply = Supply(cast("Client", nodes), KubernetesIdentity.of(site), site, cast("Engine", Store()))
        with pytest.raises(MachineError) as error:
            await supply._nodes()
        assert error.value.message.startswith(problem)


def test_images_are_needed_of_servers_that_are_declared_or_referred_to_and_of_programs() -> None:
    orders = Workload(
        "orders", ("python",), HttpProbe("/"), context="orders", env={"DATABASE": ServerFile("postgres", "orders")}
    )
    gateway = Workload("gateway", ("envoy",), HttpProbe("/"))
    assert names_of(resolution(Desired(Declaration((orders, gateway), (Server("valkey"),))))) == (
        "envoy",
        "postgres",
        "valkey",
    )


async def test_run_is_refused_before_anything_is_done_where_no_image_can_be_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(MachineError) as error:
        await require_builder()
    assert error.value.message == (
        f"images cannot be built: no Docker engine answers at unix://{tmp_path}/none.sock: there is no such socket"
    )
    assert error.value.hint.startswith("start it (`systemctl start docker`")


class Builder(Store):
    """An engine that built these images; its container `n0` is a node, or it runs the pods itself."""

    def __init__(self, *built: str) -> None:
        super().__init__()
        self.built = list(built)

    def images(self, filters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        assert any("hello" in text for text in filters["label"])
        return [{"RepoTags": [each]} for each in self.built]

    def remove_image(self, reference: str) -> None:
        self.built.remove(reference)

    def inspect_container(self, name: str) -> Mapping[str, Any]:
        assert name == "n0"
        networks = {"kind": {"IPAddress": "10.9.9.9", "GlobalIPv6Address": ""}}
        return {
            "Id": "c0",
            "NetworkSettings": {"Networks": networks},
            "Config": {"Labels": {"io.x-k8s.kind.cluster": "x"}},
        }


@pytest.mark.parametrize(
    ("runtime", "left"), [("containerd://2.1.9", ["shop/hello:2"]), ("docker://28", ["shop/hello:1", "shop/hello:2"])]
)
async def test_older_images_are_removed_from_the_engine_unless_pods_run_them_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, left: list[str]
) -> None:
    monkeypatch.delenv("CONTAINERD_ADDRESS", raising=False)
    engine = Builder("shop/hello:1", "shop/hello:2")
    site = Site("shop", tmp_path / "state", tmp_path / "out")
    nodes = cast("Client", Nodes((), runtime=runtime))
    supply = Supply(nodes, KubernetesIdentity.of(site), site, cast("Engine", engine))
    await supply.remove_superseded("hello", keep="stepflow.local/shop/hello:2")
    assert engine.built == left
