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
from stepflow.targets.contract import Desired, Inward, Site, Target
from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.api.kinds import Object, path_of
from stepflow.targets.kubernetes.converge.rollout import rolled_out
from stepflow.targets.kubernetes.manifests.valkey import AUTH, AUTH_FILE, PING_FILE, auth_shape, ping_shape
from stepflow.targets.kubernetes.target import KubernetesTarget
from stepflow.targets.ports import HOST, free
from stepflow.workload import PRODUCTION, Declaration, HttpProbe, Production, Server, Workload

pytestmark = SOME_CLUSTER

HELLO = Path(__file__).parents[1] / "data" / "hello"
SHOP = Workload("hello", ("python", "-m", "service"), HttpProbe("/", deadline=30), context="hello", env={"A": "1"})
BACK = "roll back if it does not become ready"


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
    target = KubernetesTarget(site)
    yield target
    await target.remove(None, data=True)


def desired(*workloads: Workload, digest: str = "1", production: Production | None = None) -> Desired:
    declared = Declaration(workloads, (Server("valkey"),), production=production)
    return Desired(declared, {each.name: digest for each in workloads} | {PRODUCTION: digest}, workloads)


async def printed(target: Target, wanted: Desired) -> list[str]:
    """Return what a plan prints that has to be done."""
    found = target.reconcile(wanted, await target.observe())
    return [str(each) for each in found if each.verb != "keep"]


async def edit(target: Target, api_version: str, kind: str, name: str, content: Object, *, field: str = "spec") -> None:
    """Change an object as `kubectl edit` does."""
    client, namespace = where(target)
    there = await client.get(api_version, kind, name, namespace)
    assert there is not None
    query = [("fieldManager", "kubectl-edit")]
    media = "application/merge-patch+json"
    await client.in_thread(lambda: client.send("PATCH", path_of(there), query, {field: content}, media))


def where(target: Target) -> tuple[Client, str]:
    assert isinstance(target, KubernetesTarget)
    assert target._session is not None
    return target._session.client, target._session.namespace


async def test_first_plan_names_everything_and_makes_nothing(target: Target, tmp_path: Path) -> None:
    lines = await printed(target, desired(SHOP))
    assert lines[0] == "create   Namespace/seen: it does not exist"
    assert "build    image hello, load it into nodes that lack it: `hello` does not run yet" in lines
    assert lines[-1] == "create   Deployment/hello: it does not exist"
    assert not (tmp_path / "state").exists()


async def test_what_a_plan_prints_is_what_a_run_does_and_then_all_is_kept(target: Target) -> None:
    before = await printed(target, desired(SHOP))
    done = await target.apply(desired(SHOP), ignore)
    assert [str(each) for each in done if each.verb != "keep"] == before
    assert await printed(target, desired(SHOP)) == []
    other = replace(SHOP, env={"A": "2"}, stop_grace=33)
    seen = await target.observe()
    (loaded, line) = await printed(target, desired(other))
    assert loaded == "load     image hello if a node lacks it: pods of `hello` start"
    fields = (
        "spec.template.spec.containers[hello].env[A].value 1 -> 2; spec.template.spec.terminationGracePeriodSeconds "
    )
    assert line.startswith(f"change   Deployment/hello, {BACK}: {fields}")
    assert await target.observe() == seen
    assert [str(each) for each in await target.apply(desired(other), ignore) if each.verb != "keep"] == [loaded, line]
    assert await printed(target, desired(other)) == []


async def test_what_someone_changed_in_the_cluster_is_named_and_put_back_though_no_step_changed(target: Target) -> None:
    how = Production((SHOP,), (Server("valkey"),), ("hello",), at_least=1, at_most=3, cpu_target=70, automatic=True)
    wanted = desired(SHOP, production=how)
    await target.apply(wanted, ignore)
    assert await printed(target, wanted) == []
    before = await target.observe()
    await edit(target, "networking.k8s.io/v1", "NetworkPolicy", "valkey", {"ingress": [{}]})
    await edit(target, "autoscaling/v2", "HorizontalPodAutoscaler", "hello", {"maxReplicas": 100})
    client, namespace = where(target)
    there = await client.get("apps/v1", "Deployment", "hello", namespace)
    assert there is not None
    (container,) = there["spec"]["template"]["spec"]["containers"]
    container["resources"]["limits"]["memory"] = "4Gi"
    await edit(target, "apps/v1", "Deployment", "hello", {"template": {"spec": {"containers": [container]}}})
    lines = await printed(target, wanted)
    kinds = ("Policy", "Deployment", "Autoscaler")
    policy, limit, most = (next(line for line in lines if kind in line) for kind in kinds)
    assert policy.startswith("change   NetworkPolicy/valkey: spec.ingress[0].from removed: ")
    name = "spec.template.spec.containers[hello].resources.limits.memory"
    assert limit == f"change   Deployment/hello, {BACK}: {name} changed: 768Mi -> 4Gi"
    assert most == "change   HorizontalPodAutoscaler/hello: spec.maxReplicas changed: 3 -> 100"
    assert {each.state for each in (await target.observe()).values()} <= {"ready", "starting"}
    assert [str(each) for each in await target.apply(wanted, ignore) if each.verb != "keep"] == lines
    assert await printed(target, wanted) == []
    assert (await target.observe())["valkey"] == before["valkey"]


async def test_pod_that_started_with_a_changed_secret_starts_again_when_that_is_put_back(target: Target) -> None:
    await target.apply(desired(SHOP), ignore)
    client, namespace = where(target)
    secret = await client.get("v1", "Secret", AUTH, namespace)
    assert secret is not None
    texts = {AUTH_FILE: auth_shape("other"), PING_FILE: ping_shape("other")}
    await edit(target, "v1", "Secret", AUTH, texts, field="stringData")
    (pod,) = await client.list("v1", "Pod", namespace, "app.kubernetes.io/name=valkey")
    await client.delete(pod)
    assert isinstance(target, KubernetesTarget)
    assert target._session is not None
    await rolled_out(target._session, "StatefulSet", "valkey", 60.0, ignore)  # with the wrong one
    lines = await printed(target, desired(SHOP))
    assert lines[0] == f"replace  Secret/{AUTH}: data[auth.conf] changed; data.ping changed"
    assert lines[-1].endswith(f"its pods started with another `Secret/{AUTH}`")
    await target.apply(desired(SHOP), ignore)
    (after,) = await client.list("v1", "Pod", namespace, "app.kubernetes.io/name=valkey")
    put_back = await client.get("v1", "Secret", AUTH, namespace)
    assert put_back is not None
    assert (put_back["data"], after["metadata"]["uid"] == pod["metadata"]["uid"]) == (secret["data"], False)
    assert after["metadata"]["creationTimestamp"] >= put_back["metadata"]["creationTimestamp"]
    assert await printed(target, desired(SHOP)) == []


async def test_missing_rule_of_a_workload_that_answers_does_not_take_it_for_down(target: Target) -> None:
    await target.apply(desired(SHOP), ignore)
    client, namespace = where(target)
    there = await client.get("networking.k8s.io/v1", "NetworkPolicy", "hello", namespace)
    assert there is not None
    await client.delete(there)
    assert (await target.observe())["hello"].state == "ready"
    assert await printed(target, desired(SHOP)) == ["create   NetworkPolicy/hello: it does not exist"]


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
    assert refused.value.hint == "choose another with `--port`; `--port 0` takes any free one"
    async with target.reach(number) as url, httpx2.AsyncClient() as client:
        assert url == f"http://{HOST}:{number}/"
        assert [(await client.get(url)).status_code for _ in range(3)] == [200, 200, 200]
    assert free(number)
    async with target.reach(0) as url, httpx2.AsyncClient() as client:
        assert (await client.get(url)).status_code == 200
