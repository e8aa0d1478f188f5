"""A run that ends after any one of the changes that it makes to the engine is finished by the next, to the same end."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import docker
import pytest
from docker import APIClient

from stepflow.handoff import DataDir, SecretFile
from stepflow.targets import open_target
from stepflow.targets.contract import Desired, Site
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.workload import Declaration, HttpProbe, Server, Workload

pytestmark = pytest.mark.docker

HELLO = Path(__file__).parents[1] / "data" / "hello"
CHANGES = (
    *("create_network", "create_volume", "remove_volume", "create_container_from_config", "put_archive"),
    *("start", "update_container", "stop", "remove_container"),
)


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of stepflow catches it."""


class Life:
    """Lets a process make so many changes, and nothing after them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        for name in CHANGES:
            patch.setattr(APIClient, name, self._counted(getattr(APIClient, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: object, **named: object) -> object:
            if self.left is not None and self.left <= 0:
                raise KilledError
            answer = call(*arguments, **named)
            if self.left is not None:
                self.left -= 1
                if self.left == 0:
                    raise KilledError
            return answer

        return counted


def _ended_early(error: BaseException) -> bool:
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return isinstance(error, KilledError) or any(_ended_early(each) for each in (*inner, error.__cause__) if each)


class Bench:
    """A service that is replaced one copy at a time, one that is replaced in place, and a server."""

    def __init__(self, root: Path) -> None:
        self.site = Site("cut", root / "state", root / "out")
        shutil.copytree(HELLO, self.site.out / "hello")

    def declaration(self) -> Declaration:
        probe, command = HttpProbe("/"), ("python", "-m", "service")
        secret = {"KEY_FILE": SecretFile("key")}
        front = Workload("front", command, probe, context="hello", replicas=2, env=secret)
        store = Workload("store", command, probe, context="hello", env={"DIR": DataDir("kept")})
        return Declaration((front, store), (Server("valkey"),))

    async def apply(self, digest: str) -> None:
        target = open_target("docker", self.site)
        await target.apply(Desired(self.declaration(), {"front": digest, "store": digest}), lambda _: None)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await open_target("docker", made.site).remove(None, data=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("what", ["made", "replaced"])
async def test_whatever_a_run_was_doing_when_it_was_killed_the_next_one_reaches_the_same_end(
    bench: Bench, docker_client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    await bench.apply("0")
    life, cut = Life(monkeypatch), True
    count = 0
    while cut:
        count, cut = count + 1, False
        if what == "made":
            await open_target("docker", bench.site).remove(None)
        life.left = count
        try:
            await bench.apply(str(count))
        except BaseException as error:
            if not _ended_early(error):
                raise
            cut = True
        life.left = None
        await bench.apply(str(count))
        _assert_whole(bench, docker_client.api, str(count))
        seen = await open_target("docker", bench.site).observe()
        assert {(name, each.state, each.ready) for name, each in seen.items()} == {
            ("front", "ready", 2),
            ("store", "ready", 1),
            ("valkey", "ready", 1),
        }
    assert count > 8, "so many changes there are at least"


def _assert_whole(bench: Bench, engine: APIClient, digest: str) -> None:
    """No container, volume or network is left that does not belong to what runs; all that runs is kept running."""
    who = DockerIdentity.of(bench.site)
    containers = engine.containers(all=True, filters=who.filters())
    names = {each["Labels"]["dev.stepflow.name"] + each["Labels"]["dev.stepflow.number"] for each in containers}
    assert len(names) == len(containers) == 4, names
    assert {each["Labels"]["dev.stepflow.digest"] for each in containers} == {digest, ""}
    inspected = [engine.inspect_container(each["Id"]) for each in containers]
    assert {each["HostConfig"]["RestartPolicy"]["Name"] for each in inspected} == {"always"}
    mounted = {mount["Name"] for each in inspected for mount in each["Mounts"] if mount["Type"] == "volume"}
    assert {each["Name"] for each in engine.volumes(filters=who.filters())["Volumes"]} == mounted
    assert len(engine.networks(filters=who.filters())) == 1
