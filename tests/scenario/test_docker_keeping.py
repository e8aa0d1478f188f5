"""What a platform on an engine keeps and lets go, whatever its things are called and whatever else uses them."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import docker
import pytest

from stepflow.errors import PermanentError
from stepflow.handoff import DataDir, ServerFile
from stepflow.targets import open_target
from stepflow.targets.contract import Desired, Site
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.workload import Declaration, HttpProbe, Server, Workload

pytestmark = pytest.mark.docker

HELLO = Path(__file__).parents[1] / "data" / "hello"


class Bench:
    """One platform."""

    def __init__(self, root: Path) -> None:
        self.site = Site("keeping", root / "state", root / "out")
        self.who = DockerIdentity.of(self.site)
        shutil.copytree(HELLO, self.site.out / "hello")

    async def hello(self, deadline: float = 60, **env: DataDir | ServerFile) -> list[str]:
        probe = HttpProbe("/", timeout=0.5, deadline=deadline)
        workload = Workload("hello", ("python", "-m", "service"), probe, context="hello", env=env, stop_grace=1)
        said: list[str] = []
        declaration = Declaration((workload,))
        await open_target("docker", self.site).apply(
            Desired(declaration, {"hello": "1"}), lambda p: said.append(p.answer)
        )
        return said

    async def serve(self, *servers: Server) -> None:
        await open_target("docker", self.site).apply(Desired(Declaration((), servers)), lambda _: None)

    async def down(self, *, data: bool = False) -> None:
        await open_target("docker", self.site).remove(None, data=data)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.down(data=True)


def _volumes(engine: docker.DockerClient, bench: Bench) -> list[str]:
    return [each["Name"] for each in engine.api.volumes(filters=bench.who.filters())["Volumes"] or ()]


async def test_data_is_kept_by_down_whatever_it_is_called(bench: Bench, docker_client: docker.DockerClient) -> None:
    await bench.hello(DIR=DataDir("my-files"))
    await bench.down()
    assert _volumes(docker_client, bench) == [bench.who.volume("my-files")]
    await bench.down(data=True)
    assert _volumes(docker_client, bench) == []


async def test_a_server_whose_data_was_lost_gets_its_databases_again(
    bench: Bench, docker_client: docker.DockerClient
) -> None:
    await bench.serve(Server("postgres", "orders"))
    docker_client.containers.get(bench.who.container("postgres")).remove(force=True, v=True)
    docker_client.volumes.get(bench.who.volume("postgres")).remove()
    await bench.serve(Server("postgres", "orders"))
    asked = "psql -h 127.0.0.1 -U postgres -tAc 'SELECT datname FROM pg_database ORDER BY 1'"
    command = ["sh", "-c", f"PGPASSWORD=$(cat $POSTGRES_PASSWORD_FILE) {asked}"]
    answer = docker_client.containers.get(bench.who.container("postgres")).exec_run(command)
    assert "orders" in answer.output.decode().split()


async def test_who_uses_a_server_that_lost_its_data_is_started_again_and_not_when_only_its_container_was_lost(
    bench: Bench, docker_client: docker.DockerClient
) -> None:
    def lose() -> None:
        docker_client.containers.get(bench.who.container("nats")).remove(force=True, v=True)

    async def handle() -> tuple[str, ...]:
        await bench.hello(URL_FILE=ServerFile("nats"))
        return (await open_target("docker", bench.site).observe())["hello"].handles

    first = await handle()
    lose()
    assert await handle() == first
    lose()
    docker_client.volumes.get(bench.who.volume("nats")).remove()
    assert await handle() != first


async def test_a_copy_that_runs_and_hangs_is_started_again_by_the_next_run(
    bench: Bench, docker_client: docker.DockerClient
) -> None:
    await bench.hello(deadline=5)
    container = docker_client.containers.get(bench.who.container("hello-1"))
    for process in container.top(ps_args="-eo pid")["Processes"]:
        os.kill(int(process[0]), signal.SIGSTOP)
    assert "running but not ready; restarting" in await bench.hello(deadline=5)
    seen = (await open_target("docker", bench.site).observe())["hello"]
    assert (seen.state, seen.handles) == ("ready", (container.id[:12],))


async def test_a_volume_that_another_owner_uses_is_named_and_the_next_down_removes_it(
    bench: Bench, docker_client: docker.DockerClient
) -> None:
    await bench.serve(Server("nats"))
    volume, tag = bench.who.volume("nats"), "nats:2.14.6-alpine"
    foreign = docker_client.containers.create(tag, name=f"{bench.who.prefix}-backup", volumes=[f"{volume}:/backup"])
    try:
        with pytest.raises(PermanentError) as caught:
            await bench.down(data=True)
        assert caught.value.message == (
            f"the volume `{volume}` is still used by `{bench.who.prefix}-backup`, not stepflow's"
        )
        assert caught.value.hint == "`docker rm` them, then retry; all containers of the platform are removed"
    finally:
        foreign.remove()
    await bench.down(data=True)
    assert _volumes(docker_client, bench) == []


async def test_no_container_gets_the_proxy_that_the_users_docker_configuration_names(
    bench: Bench, docker_client: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = {"httpProxy": "http://me:hunter2@proxy.example:3128"}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": {"default": proxy}}), encoding="utf-8")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    await bench.hello()
    made = docker_client.containers.get(bench.who.container("hello-1"))
    assert "hunter2" not in json.dumps([made.attrs, docker_client.api.history(made.attrs["Image"])])


async def test_a_question_to_a_base_image_that_a_crash_left_behind_is_not_a_server_and_goes_with_the_rest(
    bench: Bench, docker_client: docker.DockerClient
) -> None:
    left = docker_client.containers.create("nats:2.14.6-alpine", labels=bench.who.labels("setup", "question"))
    target = open_target("docker", bench.site)
    assert await target.observe() == {}
    assert await target.remove(None) == ()
    assert left.id not in {each.id for each in docker_client.containers.list(all=True)}
