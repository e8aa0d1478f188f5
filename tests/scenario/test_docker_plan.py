"""On a real engine a run does what the plan before it printed, and drift is in that plan, field by field."""

from __future__ import annotations

import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from docker import APIClient

from stepflow.errors import PermanentError
from stepflow.handoff import Endpoint, SecretFile, ServerFile
from stepflow.targets import open_target
from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired, Site, Target
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.workload import Declaration, HttpProbe, Port, Server, Workload

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

HELLO = Path(__file__).parents[1] / "data" / "hello"
COMMAND = ("python", "-m", "service")


class Bench:
    """A platform: a gateway at a port of this machine, copies of a service that know it, and a server."""

    def __init__(self, root: Path, client: docker.DockerClient) -> None:
        self.site = Site("plan", root / "state", root / "out")
        self.client = client
        for name in ("hello", "gateway"):
            shutil.copytree(HELLO, self.site.out / name)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.wish: int = free.getsockname()[1]

    @property
    def target(self) -> Target:
        return open_target("docker", self.site)

    def desired(self, *, digest: str = "1", published: int = 0, **changes: Any) -> Desired:  # noqa: ANN401 - a Workload's
        probe = HttpProbe("/", timeout=0.5, deadline=20)
        env = {"FRONT": Endpoint("gateway", part="public"), "KEY_FILE": SecretFile("key"), "URL": ServerFile("nats")}
        hello = Workload("hello", COMMAND, probe, context="hello", **{"env": env, "replicas": 2, **changes})
        ports = (Port(number=published or self.wish, published=True),)
        gateway = Workload("gateway", COMMAND, probe, context="gateway", ports=ports)
        digests = {"hello": digest, "gateway": str(published)}
        return Desired(Declaration((gateway, hello), (Server("nats"),)), digests, (gateway, hello))

    async def planned(self, desired: Desired) -> list[Action]:
        found = self.target.reconcile(desired, await self.target.observe())
        return [each for each in found if each.verb != "keep"]

    async def run(self, desired: Desired) -> list[str]:
        """Plan, then run; return what was printed. What was done is that, and then nothing is left to do."""
        planned = await self.planned(desired)
        with recorded(self.client.api) as calls:
            executed = await self.target.apply(desired, lambda _: None)
        done = {(each.verb, each.name) for each in executed if each.verb != "keep"}
        assert done <= {(each.verb, each.name) for each in planned}
        assert {(each.verb, each.name) for each in planned if not each.when} <= done
        created = {each.name for each in executed if each.verb in {"create", "replace"}}
        assert {self.instance(name) for what, name in calls if what == "create"} == created
        removed = {
            each.old or each.name for each in executed if each.verb in {"remove", "replace"} and " " not in each.name
        }
        assert {self.instance(name) for what, name in calls if what == "remove"} == removed
        assert [str(each) for each in await self.planned(desired)] == []
        return [str(each) for each in planned]

    def instance(self, name: str) -> str:
        return name.removeprefix(f"{DockerIdentity.of(self.site).prefix}-")

    def container(self, instance: str) -> Any:  # noqa: ANN401 - the SDK has no types
        return self.client.containers.get(DockerIdentity.of(self.site).container(instance))

    def create_again(self, instance: str, **config: Any) -> None:  # noqa: ANN401 - the engine's `Config`
        """Create a container again by hand, as `docker run` would, with another setting."""
        told = self.container(instance).attrs
        self.container(instance).remove(force=True, v=True)
        creation = {**told["Config"], **config, "HostConfig": told["HostConfig"]}
        self.client.api.create_container_from_config(creation, told["Name"][1:])
        self.container(instance).start()


@contextmanager
def recorded(api: APIClient) -> Iterator[list[tuple[str, str]]]:
    """Record which containers, networks and volumes are created and which containers are removed, by their names."""
    calls: list[tuple[str, str]] = []
    create, remove = APIClient.create_container_from_config, APIClient.remove_container
    network, volume = APIClient.create_network, APIClient.create_volume

    def created(self: APIClient, config: Any, name: str) -> Any:  # noqa: ANN401 - the SDK has no types
        made = create(self, config, name)
        calls.append(("create", name))
        return made

    def networked(self: APIClient, name: str, **named: Any) -> Any:  # noqa: ANN401 - as above
        calls.append(("create", "platform network"))
        return network(self, name, **named)

    def stored(self: APIClient, name: str, **named: Any) -> Any:  # noqa: ANN401 - as above
        calls.append(("create", f"volume {name.rpartition('-data-')[2]}"))
        return volume(self, name, **named)

    def removed(self: APIClient, container: str, **named: Any) -> None:  # noqa: ANN401 - as above
        told = api.inspect_container(container)
        if "question" not in told["Config"]["Labels"].values():
            calls.append(("remove", told["Name"][1:]))
        remove(self, container, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(APIClient, "create_container_from_config", created)
        patch.setattr(APIClient, "remove_container", removed)
        patch.setattr(APIClient, "create_network", networked)
        patch.setattr(APIClient, "create_volume", stored)
        yield calls


@pytest.fixture
async def bench(tmp_path: Path, docker_client: docker.DockerClient) -> AsyncIterator[Bench]:
    made = Bench(tmp_path, docker_client)
    yield made
    await made.target.remove(None, data=True)


async def test_a_first_run_scaling_both_ways_and_a_changed_image_are_done_as_printed(bench: Bench) -> None:
    assert await bench.run(bench.desired()) == [
        "create   platform network: it does not exist",
        "create   volume nats: it does not exist",
        "create   nats: it does not exist",
        "build    gateway: it does not run yet",
        "create   gateway-1: it does not exist",
        "build    hello: it does not run yet",
        "create   hello-1: it does not exist",
        "create   hello-2: it does not exist",
    ]
    assert await bench.run(bench.desired()) == []
    assert await bench.run(bench.desired(replicas=3)) == ["create   hello-3: 2 of 3 copies exist"]
    assert await bench.run(bench.desired(replicas=1)) == [
        "remove   hello-2: scaled to 1 copy",
        "remove   hello-3: scaled to 1 copy",
    ]
    (bench.site.out / "hello" / "src" / "service" / "more.py").write_text("", encoding="utf-8")
    build, replace, removal = await bench.run(bench.desired(replicas=1, digest="2"))
    assert (build, replace) == (
        "build    hello: what it is made from changed",
        "replace  hello-1 with hello-2: what it is made from changed",
    )
    assert removal.startswith(f"remove   image {DockerIdentity.of(bench.site).prefix}/hello:")
    assert removal.endswith(" if another image: superseded")


async def test_an_exited_a_half_made_and_a_lost_copy_are_started_replaced_and_created_as_printed(bench: Bench) -> None:
    await bench.run(bench.desired(replicas=3))
    bench.container("hello-1").stop(timeout=1)
    bench.container("hello-2").remove(force=True, v=True)
    made = bench.container("hello-3")
    labels, image = made.labels, made.image.id
    made.remove(force=True, v=True)
    bench.client.containers.create(image, name=DockerIdentity.of(bench.site).container("hello-3"), labels=labels)
    [start, create, replace] = await bench.run(bench.desired(replicas=3))
    assert start.startswith("start    hello-1: exited with code ")
    assert (create, replace) == (
        "create   hello-2: 2 of 3 copies exist",
        "replace  hello-3: it was created, but never started",
    )


async def test_a_workload_whose_gateway_variable_alone_changed_is_replaced_as_printed(bench: Bench) -> None:
    await bench.run(bench.desired())
    gateway = bench.container("gateway-1")
    gateway.stop(timeout=1)
    with socket.create_server(("127.0.0.1", bench.wish)):
        said = await bench.run(bench.desired())
    doubt = "variable `FRONT` holds a port that is not chosen yet"
    assert said == [
        f"replace  gateway-1: port {bench.wish} is taken",
        f"replace  hello-1 with hello-3 if another port: {doubt}",
        f"replace  hello-2 with hello-4 if another port: {doubt}",
    ]
    told = bench.container("hello-3").attrs["Config"]["Env"]
    assert f"FRONT={bench.target.live().url(Endpoint('gateway'))}" in told


async def test_what_other_hands_changed_is_printed_field_by_field_and_put_right(bench: Bench) -> None:
    await bench.run(bench.desired())
    bench.container("hello-1").update(mem_limit="128m", memswap_limit="128m", restart_policy={"Name": "no"})
    bench.container("nats").update(restart_policy={"Name": "on-failure"})
    network = bench.client.networks.get(DockerIdentity.of(bench.site).prefix)
    network.disconnect(bench.container("hello-2"))
    handles = (await bench.target.observe())["nats"].handles
    assert await bench.run(bench.desired()) == [
        "change   nats: restart policy is `on-failure` instead of `always`",
        (
            "change   hello-1: memory limit is 128 MiB instead of 768 MiB; memory and swap limit is 128 MiB instead of "
            "768 MiB; restart policy is `no` instead of `always`"
        ),
        "replace  hello-2 with hello-3: it is not in the platform's network",
    ]
    assert (await bench.target.observe())["nats"].handles == handles
    host = bench.container("hello-1").attrs["HostConfig"]
    assert (host["Memory"], host["RestartPolicy"]["Name"]) == (768 * 1024**2, "always")


async def test_what_was_created_again_by_hand_with_all_its_labels_is_replaced_as_printed(bench: Bench) -> None:
    desired = bench.desired(env={"SAYS": "right"})
    await bench.run(desired)
    env = bench.container("hello-1").attrs["Config"]["Env"]
    bench.create_again("hello-1", Env=[*(text for text in env if text != "SAYS=right"), "SAYS=wrong", "EVIL=s3cret"])
    bench.create_again("hello-2", WorkingDir="/tmp")  # noqa: S108 - in the container
    labels = bench.container("nats").labels
    bench.create_again("nats", Labels={**labels, "dev.stepflow.care": "{", "dev.stepflow.number": "none"})
    said = await bench.run(desired)
    assert len(said) == 3
    assert said[0] == "replace  nats: its labels cannot be read"
    assert "replace  hello-1 with hello-3: variable `SAYS` changed; variable `EVIL` was added" in said
    assert any(": working directory is /tmp instead of " in each for each in said)


async def test_what_is_foreign_is_in_the_plan_and_left_alone(bench: Bench) -> None:
    await bench.run(bench.desired())
    name = DockerIdentity.of(bench.site).container("hello-3")
    foreign = bench.client.containers.create("nats:2.14.6-alpine", name=name)
    try:
        with pytest.raises(PermanentError) as caught:
            await bench.planned(bench.desired(replicas=3))
        assert caught.value.message == f"there is a container `{name}` on the engine that is not stepflow's"
        foreign.reload()
    finally:
        foreign.remove()


async def test_a_lost_secret_is_in_the_plan_which_creates_none(bench: Bench) -> None:
    await bench.run(bench.desired(replicas=1))
    secret = DockerIdentity.of(bench.site).secrets / "key"
    secret.unlink()
    await bench.planned(bench.desired(replicas=1))
    assert not secret.exists()
    assert await bench.run(bench.desired(replicas=1)) == [
        "replace  hello-1 with hello-2: configuration `secret-key` changed",
    ]
    assert secret.exists()
