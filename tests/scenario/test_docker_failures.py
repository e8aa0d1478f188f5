"""What can go wrong on an engine: what a user is told, and that nothing of anybody else's is touched."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import NotFound
from private_engine import Engine

from stepflow.errors import MachineError, PermanentError, StepflowError, TemporaryError
from stepflow.handoff import Endpoint, SecretFile
from stepflow.targets import open_target
from stepflow.targets.contract import Desired, Progress, Site, Target
from stepflow.targets.docker import host_ports
from stepflow.targets.docker.doctor import examine
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.workload import Declaration, HttpProbe, Port, Server, Workload

pytestmark = pytest.mark.docker

HELLO = Path(__file__).parents[1] / "data" / "hello"
GREEDY = "held = bytearray(2 * 1024**3)\n"


@dataclass
class Bench:
    """A platform, and the engine seen past stepflow."""

    site: Site
    client: docker.DockerClient

    @property
    def who(self) -> DockerIdentity:
        return DockerIdentity.of(self.site)

    def target(self) -> Target:
        return open_target("docker", self.site)

    def hello(self, name: str = "hello", **changes: Any) -> Workload:  # noqa: ANN401 - whatever a Workload takes
        shutil.copytree(HELLO, self.site.out / name, dirs_exist_ok=True)
        return Workload(name, ("python", "-m", "service"), HttpProbe("/", deadline=30), context=name, **changes)

    async def apply(self, *workloads: Workload, servers: tuple[Server, ...] = (), digest: str = "1") -> list[Progress]:
        said: list[Progress] = []
        digests = dict.fromkeys((workload.name for workload in workloads), digest)
        await self.target().apply(Desired(Declaration(workloads, servers), digests), said.append)
        return said

    async def failed(self, *workloads: Workload, servers: tuple[Server, ...] = ()) -> StepflowError:
        with pytest.raises(StepflowError) as caught:
            await self.apply(*workloads, servers=servers)
        return caught.value

    def left(self) -> list[str]:
        """Name all that carries this platform's label."""
        api, filters = self.client.api, self.who.filters()
        found = [each["Names"][0] for each in api.containers(all=True, filters=filters)]
        found += [each["Name"] for each in api.networks(filters=filters)]
        found += [each["Name"] for each in api.volumes(filters=filters)["Volumes"] or ()]
        return found + [each["Id"] for each in api.images(filters=filters)]


@pytest.fixture
async def bench(tmp_path: Path, docker_client: docker.DockerClient) -> AsyncIterator[Bench]:
    site = Site("failures", tmp_path / "state", tmp_path / "out")
    site.out.mkdir()
    made = Bench(site, docker_client)
    yield made
    await made.target().remove(None, data=True)
    assert made.left() == []


@pytest.fixture
def wish() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    return number


async def test_a_foreign_container_of_the_same_name_is_told_and_left_alone(bench: Bench) -> None:
    name = bench.who.container("hello-1")
    foreign = bench.client.containers.create("nats:2.14.6-alpine", name=name)
    try:
        error = await bench.failed(bench.hello())
        assert isinstance(error, PermanentError)
        assert error.message == f"there is a container `{name}` on the engine that is not stepflow's"
        assert error.hint == "stepflow touches only what carries its label: remove or rename it, then run again"
        await bench.target().remove(None)
        foreign.reload()
        assert foreign.status == "created"
    finally:
        foreign.remove()


async def test_a_foreign_network_of_the_same_name_is_told_and_left_alone(bench: Bench) -> None:
    foreign = bench.client.networks.create(bench.who.prefix)
    try:
        error = await bench.failed(bench.hello())
        assert error.message == f"there is a network `{bench.who.prefix}` on the engine that is not stepflow's"
        await bench.target().remove(None, data=True)
        foreign.reload()
    finally:
        foreign.remove()


async def test_an_image_that_cannot_be_had_is_named_with_what_to_type(bench: Bench) -> None:
    bench.site = Site(bench.site.platform, bench.site.state, bench.site.out, {"image.nats": "127.0.0.1:1/nats:none"})
    error = await bench.failed(servers=(Server("nats"),))
    assert error.message.startswith("the image `127.0.0.1:1/nats:none` is not here and cannot be pulled: ")
    assert "`--image`" in error.hint


async def test_a_service_that_takes_too_much_memory_is_told_so(bench: Bench) -> None:
    greedy = bench.hello("greedy")
    (bench.site.out / "greedy" / "src" / "service" / "__main__.py").write_text(GREEDY, encoding="utf-8")
    error = await bench.failed(greedy)
    assert "`greedy-1` was killed by the kernel: it used more memory than it may" in error.message
    assert error.hint.startswith("give it more memory")


async def test_what_someone_removed_by_hand_is_made_again_and_the_rest_is_removed(bench: Bench) -> None:
    await bench.apply(bench.hello(replicas=2), servers=(Server("nats"),))
    bench.client.containers.get(bench.who.container("hello-2")).remove(force=True)
    assert (await bench.target().observe())["hello"].replicas == 1
    await bench.apply(bench.hello(replicas=2), servers=(Server("nats"),))
    assert (await bench.target().observe())["hello"].ready == 2
    bench.client.containers.get(bench.who.container("hello-1")).remove(force=True)
    assert await bench.target().remove(None) == ("hello", "nats")


async def test_a_network_that_someone_removed_is_made_again_with_all_that_is_in_it(bench: Bench) -> None:
    await bench.apply(bench.hello())
    container = bench.client.containers.get(bench.who.container("hello-1"))
    container.stop(timeout=1)
    network = bench.client.networks.get(bench.who.prefix)
    network.disconnect(container)
    network.remove()
    await bench.apply(bench.hello())
    assert (await bench.target().observe())["hello"].state == "ready"


async def test_a_container_that_was_made_and_not_started_is_made_again(bench: Bench) -> None:
    await bench.apply(bench.hello())
    made = bench.client.containers.get(bench.who.container("hello-1"))
    labels, image = made.labels, made.image.id
    made.remove(force=True)
    bench.client.containers.create(image, name=bench.who.container("hello-1"), labels=labels)
    said = await bench.apply(bench.hello())
    assert any(each.answer == "replace `hello-1`: it was created, but never started" for each in said)
    assert (await bench.target().observe())["hello"].state == "ready"


async def test_two_platforms_of_one_name_run_side_by_side_each_at_a_port_of_its_own(
    bench: Bench, tmp_path: Path, docker_client: docker.DockerClient, wish: int
) -> None:
    other = Bench(Site(bench.site.platform, tmp_path / "other", bench.site.out), docker_client)
    ports = (Port(number=wish, published=True),)
    try:
        for each in (bench, other):
            try:
                await each.apply(each.hello(ports=ports))
            except TemporaryError:
                await each.apply(each.hello(ports=ports))
        urls = {(await each.target().observe())["hello"].url for each in (bench, other)}
        assert len(urls) == 2
        assert f"http://127.0.0.1:{wish}" in urls
        await bench.target().remove(None, data=True)
        assert (await other.target().observe())["hello"].state == "ready"
    finally:
        await other.target().remove(None, data=True)
        assert other.left() == []


async def test_a_port_that_a_container_of_another_has_is_said_to_be_that_ones(bench: Bench, wish: int) -> None:
    await bench.apply(bench.hello("first", ports=(Port(number=wish, published=True),)))
    said = await bench.apply(bench.hello("second", ports=(Port(number=wish, published=True),)))
    name = bench.who.container("first-1")
    assert [each.waiting_for for each in said if each.remark] == [
        f"port {wish} is taken by the container `{name}`: `second/http` gets {wish + 1} instead"
    ]


async def test_a_port_that_someone_took_at_the_last_moment_is_tried_again_with_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        hello = bench.hello(ports=(Port(number=number, published=True),))
        with monkeypatch.context() as patch:
            patch.setattr(host_ports, "free", lambda _: True)
            error = await bench.failed(hello)
        assert isinstance(error, TemporaryError)
        assert error.message.startswith(f"port {number} of `hello` was taken by `")
        assert error.message.endswith(f"` (pid {os.getpid()}) before it could listen")
        await bench.apply(hello)
    assert (await bench.target().observe())["hello"].url == f"http://127.0.0.1:{number + 1}"


async def test_no_secret_is_in_what_the_engine_shows_of_a_container(bench: Bench) -> None:
    await bench.apply(bench.hello(env={"PASSWORD_FILE": SecretFile("admin")}), servers=(Server("postgres", "orders"),))
    texts = {file.name: file.read_text() for file in bench.who.secrets.iterdir()}
    assert {"admin", "postgres", "postgres-orders"} <= texts.keys()
    for container in bench.client.containers.list(all=True, filters=bench.who.filters()):
        shown = str(container.attrs) + str(container.logs())
        assert not [name for name, text in texts.items() if text in shown]


async def test_lines_of_several_copies_are_marked_and_followed_when_one_starts_again(bench: Bench) -> None:
    await bench.apply(bench.hello(replicas=2))
    target = bench.target()
    assert sorted([line async for line in target.logs("hello")]) == [
        "hello-1 | serving hello-1",
        "hello-2 | serving hello-2",
    ]
    assert [line async for line in target.logs("hello-2", tail=5)] == ["serving hello-2"]
    async with asyncio.timeout(30), aclosing(target.logs("hello", follow=True, tail=0)) as lines:  # type: ignore[type-var]
        following = asyncio.ensure_future(anext(lines))
        copy = target.live().instances("hello")[1]
        while not following.done():
            await target.live().kill(copy)
            await asyncio.wait([following], timeout=3)
        assert following.result() == "hello-2 | serving hello-2"


async def test_doctor_names_what_a_platform_without_its_state_left_behind(bench: Bench, tmp_path: Path) -> None:
    await bench.apply(bench.hello())
    assert {each.name: each.ok for each in examine()}["docker engine"]
    hidden = bench.site.state.rename(tmp_path / "hidden")
    try:
        [found] = [each for each in examine() if str(bench.site.state) in each.detail]
    finally:
        hidden.rename(bench.site.state)
    assert found.detail == f"1 container of the platform `failures`, whose state `{bench.site.state}` is gone"
    assert f"`docker rm -fv $(docker ps -aq --filter label=dev.stepflow.id={bench.who.id})`" in found.remedy
    assert not [each for each in examine() if str(bench.site.state) in each.detail]


async def test_of_what_does_not_run_an_address_is_asked_again_later(bench: Bench) -> None:
    await bench.apply(bench.hello())
    bench.client.containers.get(bench.who.container("hello-1")).stop(timeout=1)
    with pytest.raises(TemporaryError, match=r"`hello` is not running: exited with code \d+"):
        bench.target().live().url(Endpoint("hello"))
    assert (await bench.target().observe())["hello"].state == "stopped"
    said = await bench.apply(bench.hello())
    assert any(each.answer.startswith("start `hello-1`: exited with code ") for each in said)


async def test_a_copy_that_crashes_is_started_again_by_the_engine_and_counted(bench: Bench) -> None:
    await bench.apply(bench.hello())
    pid = bench.client.containers.get(bench.who.container("hello-1")).attrs["State"]["Pid"]
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(30):
        while (seen := (await bench.target().observe())["hello"]).restarts == 0 or seen.state != "ready":  # noqa: ASYNC110 - other processes decide
            await asyncio.sleep(0.1)
    assert seen.restarts == 1


@pytest.mark.timeout(300)  # it waits until the engine has no other user
async def test_an_engine_that_is_killed_is_told_and_brings_everything_back(bench: Bench, docker_engine: Engine) -> None:
    await bench.apply(bench.hello())
    target = bench.target()
    with docker_engine.alone():
        assert (await target.observe())["hello"].state == "ready"
        docker_engine.kill()
        try:
            with pytest.raises(TemporaryError, match=r"the Docker engine at unix://\S+ went away"):
                await target.observe()
            with pytest.raises(MachineError, match=r"no Docker engine answers at unix://\S+: nothing listens there"):
                await bench.target().observe()
            with pytest.raises(MachineError):
                await bench.target().remove(None, data=True)
        finally:
            docker_engine.start()
    async with asyncio.timeout(60):
        while (await bench.target().observe())["hello"].state != "ready":  # noqa: ASYNC110 - other processes decide
            await asyncio.sleep(0.1)
    assert bench.who.secrets.is_dir()


async def test_what_is_removed_with_its_data_leaves_nothing(bench: Bench) -> None:
    await bench.apply(bench.hello(), servers=(Server("nats"),))
    await bench.target().remove(None)
    assert not any(each.startswith("/") for each in bench.left())
    volumes = bench.client.api.volumes(filters=bench.who.filters())["Volumes"]
    assert [each["Name"] for each in volumes] == [bench.who.volume("nats")]
    with pytest.raises(NotFound):
        bench.client.networks.get(bench.who.prefix)
    who = bench.who
    await bench.target().remove(None, data=True)
    assert not (bench.site.state / "docker" / "id").exists()
    assert bench.client.api.volumes(filters=who.filters())["Volumes"] in (None, [])
