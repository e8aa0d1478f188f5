"""What people see of a platform in a cluster: what a run would change there, and the port that leads in."""

from __future__ import annotations

import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from onenode_fixtures import SOME_CLUSTER

from stepflow.errors import UsageError
from stepflow.targets import Desired, Inward, Site, Target, open_target
from stepflow.targets.kubernetes.target import KubernetesTarget
from stepflow.targets.ports import HOST, free
from stepflow.workload import Declaration, HttpProbe, Server, Workload

pytestmark = SOME_CLUSTER

HELLO = Path(__file__).parents[1] / "data" / "hello"
SHOP = Workload("hello", ("python", "-m", "service"), HttpProbe("/", deadline=30), context="hello", env={"A": "1"})


def ignore(_: object) -> None:
    pass


@pytest.fixture
async def target(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Target]:
    cluster = request.getfixturevalue("some_cluster")
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(HELLO, tmp_path / "out/hello")
    site = Site("seen", tmp_path / "state", tmp_path / "out", {"context": cluster.context})
    target = open_target("kubernetes", site)
    yield target
    await target.remove(None, data=True)


async def preview(target: Target, workload: Workload, digest: str = "1") -> list[str]:
    assert isinstance(target, KubernetesTarget)
    declared = Declaration((workload,), (Server("valkey"),))
    return list(await target.preview(declared, {workload.name: digest}))


async def test_preview_names_each_field_that_a_run_would_change_and_changes_nothing(target: Target) -> None:
    where, *_ = await preview(target, SHOP)
    assert where.startswith("in `")
    assert where.endswith(": the namespace `seen-<id>`, and all that is in it")
    await target.apply(Desired(Declaration((SHOP,), (Server("valkey"),)), {"hello": "1"}), ignore)
    assert await preview(target, SHOP) == []
    before = await target.observe()
    where, *lines = await preview(target, replace(SHOP, env={"A": "2"}, stop_grace=33))
    container = "Deployment `hello`: spec.template.spec.containers[hello]"
    assert where.endswith(" (server-side dry run):")
    assert f"{container}.env[A].value 1 -> 2" in lines
    assert all(line.startswith("Deployment `hello`: spec.template.spec.") for line in lines)
    assert await target.observe() == before


async def test_image_that_is_yet_to_be_built_is_called_so(target: Target) -> None:
    await target.apply(Desired(Declaration((SHOP,), (Server("valkey"),)), {"hello": "1"}), ignore)
    _, line = await preview(target, SHOP, digest="2")
    said, _, image = line.partition(" -> ")
    assert said.startswith("Deployment `hello`: spec.template.spec.containers[hello].image stepflow.local/seen-")
    assert image.endswith("/hello:to-be-built")


async def test_port_of_this_machine_leads_to_the_page_for_as_long_as_it_is_wanted(target: Target) -> None:
    assert isinstance(target, Inward)
    with pytest.raises(UsageError, match="`seen` has no page to open"):
        async with target.reach():
            pass
    await target.apply(Desired(Declaration((SHOP,)), {"hello": "1"}), ignore)
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen(1)
        number = taken.getsockname()[1]
        with pytest.raises(UsageError) as refused:
            async with target.reach(number):
                pass
    assert refused.value.message.startswith(f"port {number} is taken")
    assert refused.value.hint == "another one with `--port`; `--port 0` is any free one"
    async with target.reach(number) as url, httpx2.AsyncClient() as client:
        assert url == f"http://{HOST}:{number}/"
        assert [(await client.get(url)).status_code for _ in range(3)] == [200, 200, 200]
    assert free(number)
    async with target.reach(0) as url, httpx2.AsyncClient() as client:
        assert (await client.get(url)).status_code == 200
