"""What can go wrong in a cluster: what a user is told, and that nothing of anybody else's is touched."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster_fixtures import Cluster
from kubernetes.client import AppsV1Api, CoreV1Api
from onenode_fixtures import SOME_CLUSTER

from stepflow.errors import StepflowError
from stepflow.targets import open_target
from stepflow.targets.contract import Desired, Site, Target
from stepflow.targets.kubernetes.state import diagnose
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.workload import Declaration, HttpProbe, Server, Workload

pytestmark = SOME_CLUSTER

HELLO = Path(__file__).parents[1] / "data" / "hello"


@dataclass
class Bench:
    """A platform, and the cluster seen past stepflow."""

    site: Site
    cluster: Cluster

    @property
    def namespace(self) -> str:
        return KubernetesIdentity.of(self.site).prefix

    @property
    def core(self) -> CoreV1Api:
        return CoreV1Api(self.cluster.client)

    def target(self) -> Target:
        return open_target("kubernetes", self.site)

    def hello(self, name: str = "hello", **changes: Any) -> Workload:  # noqa: ANN401 - whatever a Workload takes
        shutil.copytree(HELLO, self.site.out / name, dirs_exist_ok=True)
        return Workload(name, ("python", "-m", "service"), HttpProbe("/", deadline=30), context=name, **changes)

    async def apply(self, *workloads: Workload, servers: tuple[Server, ...] = (), digest: str = "1") -> None:
        digests = dict.fromkeys((workload.name for workload in workloads), digest)
        await self.target().apply(Desired(Declaration(workloads, servers), digests), lambda _: None)

    async def failed(self, *workloads: Workload, digest: str = "1") -> StepflowError:
        with pytest.raises(StepflowError) as caught:
            await self.apply(*workloads, digest=digest)
        return caught.value

    def note(self, name: str, **labels: str) -> None:
        """Put a ConfigMap into the namespace as another user would."""
        metadata = {"name": name, "labels": {key.replace("__", "/"): value for key, value in labels.items()}}
        self.core.create_namespaced_config_map(self.namespace, {"metadata": metadata, "data": {"a": "1"}})

    def notes(self) -> set[str]:
        found = self.core.list_namespaced_config_map(self.namespace).items
        return {each.metadata.name for each in found}


@pytest.fixture
async def bench(some_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    for name, value in some_cluster.env.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "out").mkdir()
    site = Site("broken", tmp_path / "state", tmp_path / "out", {"context": some_cluster.context})
    made = Bench(site, some_cluster)
    yield made
    await made.target().remove(None, data=True)
    assert await made.target().observe() == {}
    namespaces = {each.metadata.name for each in made.core.list_namespace().items}
    assert made.namespace not in namespaces


async def test_a_version_that_does_not_come_up_is_gone_back_from_and_it_is_said_why(bench: Bench) -> None:
    await bench.apply(bench.hello())
    error = await bench.failed(bench.hello(env={"EXIT": "3"}), digest="2")
    assert "exited with code 3" in error.message
    assert "the moon is in the wrong phase" in error.message
    seen = (await bench.target().observe())["hello"]
    assert (seen.state, seen.ready, seen.digest) == ("ready", 1, "1")
    await bench.apply(bench.hello(), digest="3")
    assert (await bench.target().observe())["hello"].digest == "3"


async def test_what_finds_no_room_in_a_quota_says_which_and_what_it_allows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose, "CREATION", 1.0)
    await bench.apply(bench.hello())
    quota = {"metadata": {"name": "landlord"}, "spec": {"hard": {"pods": "1"}}}
    bench.core.create_namespaced_resource_quota(bench.namespace, quota)
    error = await bench.failed(bench.hello(replicas=2))
    assert "exceeded quota: landlord" in error.message
    assert "limited: pods=1" in error.message
    assert "kubectl describe quota" in error.hint
    assert (await bench.target().observe())["hello"].ready == 1
    bench.core.delete_namespaced_resource_quota("landlord", bench.namespace)


@pytest.mark.docker
async def test_what_no_node_takes_says_the_schedulers_reason(
    own_cluster: Cluster, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bench.cluster is not own_cluster:
        pytest.skip("nodes of another cluster are not closed")
    monkeypatch.setattr(diagnose, "PLACE", 1.0)
    [node] = bench.cluster.nodes()
    bench.core.patch_node(node, {"spec": {"unschedulable": True}})
    try:
        error = await bench.failed(bench.hello())
    finally:
        bench.core.patch_node(node, {"spec": {"unschedulable": False}})
    assert "0/1 nodes are available: 1 node(s) were unschedulable" in error.message
    await bench.apply(bench.hello())


async def test_an_object_of_that_name_that_is_not_ours_is_named_and_left_alone(bench: Bench) -> None:
    await bench.apply(bench.hello("other"))
    theirs = {"metadata": {"name": "hello"}, "spec": {"ports": [{"port": 1}], "selector": {"app": "theirs"}}}
    bench.core.create_namespaced_service(bench.namespace, theirs)
    error = await bench.failed(bench.hello())
    assert "`hello`" in error.message
    assert bench.core.read_namespaced_service("hello", bench.namespace).spec.selector == {"app": "theirs"}
    bench.core.delete_namespaced_service("hello", bench.namespace)
    await bench.apply(bench.hello())


async def test_only_what_is_ours_and_no_longer_wanted_is_removed(bench: Bench) -> None:
    await bench.apply(bench.hello())
    ours = KubernetesIdentity.of(bench.site).id
    bench.note("outdated", stepflow__x="1", **{"stepflow.dev/platform": ours, "stepflow.dev/owner": "hello"})
    bench.note("other-platform", **{"stepflow.dev/platform": "ffffff", "stepflow.dev/owner": "hello"})
    bench.note("nobodys", **{"stepflow.dev/owner": "hello"})
    await bench.apply(bench.hello(), digest="2")
    assert {"other-platform", "nobodys"} <= bench.notes()
    assert "outdated" not in bench.notes()


async def test_replicas_that_someone_set_are_brought_back_and_what_they_added_stays(bench: Bench) -> None:
    await bench.apply(bench.hello())
    apps = AppsV1Api(bench.cluster.client)
    change = {"metadata": {"annotations": {"theirs": "kept"}}, "spec": {"replicas": 2}}
    apps.patch_namespaced_deployment("hello", bench.namespace, change, field_manager="somebody")
    await bench.apply(bench.hello(), digest="2")
    found = apps.read_namespaced_deployment("hello", bench.namespace)
    assert found.metadata.annotations["theirs"] == "kept"
    assert (await bench.target().observe())["hello"].ready == 1
