"""What someone changes in a cluster is seen and put back; applying the same again does nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from bare_api import bare_api
from manifest_cases import PRODUCTION
from onenode.api import CONTEXT

from stepflow.targets.contract import Site
from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.api.kinds import Object, key, path_of
from stepflow.targets.kubernetes.converge.compare import SALT, Change, compared, stamped
from stepflow.targets.kubernetes.converge.execute import Executor
from stepflow.targets.kubernetes.converge.where import Stages
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.targets.kubernetes.state.session import ClusterSession
from stepflow.targets.secretfiles import secret_file, secret_text

NAMESPACE = "shop-0a1b2c"
OF_EXTENSIONS = ("ServiceMonitor", "PrometheusRule")  # which the tests' API has not
OBJECTS = [each for each in PRODUCTION if each["kind"] not in OF_EXTENSIONS]
FIRST = ("Namespace", "PriorityClass", "ServiceAccount")  # what others are refused without
MERGE = "application/merge-patch+json"
OPENED: dict[str, list[dict[str, Any]]] = {"ingress": [{}]}


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with bare_api(tmp_path) as file:
        monkeypatch.setenv("KUBECONFIG", str(file))
        yield CONTEXT


@pytest.fixture
async def session(tmp_path: Path, context: str) -> AsyncIterator[ClusterSession]:
    """Return a place in which everything was applied."""
    who = KubernetesIdentity("shop", "0a1b2c", tmp_path)
    who.secrets.mkdir()
    secret_file(who.secrets, SALT)
    site, client = Site("shop", tmp_path, tmp_path / "out"), Client(context)
    made = ClusterSession.of(site, who, client, NAMESPACE)
    for each in sorted(OBJECTS, key=lambda each: each["kind"] not in FIRST):
        await client.apply(stamped(each, secret_text(who.secrets, SALT)))
    yield made
    client.close()


async def differences(session: ClusterSession) -> dict[str, tuple[str, ...]]:
    """Return how each object that is not as it was applied differs."""
    seen = await session.everything.next()
    seen.objects["Namespace"] = [seen.namespace]
    found = {key(each): compared(each, seen) for each in OBJECTS}
    assert all(there for _, there, _ in found.values())
    return {name: lines for name, (_, _, lines) in found.items() if lines}


async def put_back(session: ClusterSession) -> None:
    """Execute a change for each object that is not as it was applied."""
    seen = await session.everything.next()
    seen.objects["Namespace"] = [seen.namespace]
    executor = Executor(session, cast("Stages", None))
    for each in OBJECTS:
        made, there, lines = compared(each, seen)
        if lines:
            await executor._change(Change(made, there))


async def edit(session: ClusterSession, kind: str, name: str, spec: Object) -> None:
    """Change an object as `kubectl edit` does."""
    there = (await session.everything.next()).named(kind, name)
    assert there is not None
    query = [("fieldManager", "kubectl-edit")]
    await session.client.in_thread(lambda: session.client.send("PATCH", path_of(there), query, {"spec": spec}, MERGE))


async def test_everything_is_as_it_was_applied(session: ClusterSession) -> None:
    assert await differences(session) == {}


async def test_what_someone_changed_and_added_is_named_and_put_back(session: ClusterSession) -> None:
    there = (await session.everything.next()).named("Deployment", "users")
    assert there is not None
    (container,) = there["spec"]["template"]["spec"]["containers"]
    limits = {**container["resources"], "limits": {**container["resources"]["limits"], "memory": "4Gi"}}
    await edit(session, "NetworkPolicy", "postgres", OPENED)
    await edit(session, "HorizontalPodAutoscaler", "users", {"maxReplicas": 100})
    containers = {"containers": [{**container, "resources": limits}], "hostPID": True}
    await edit(session, "Deployment", "users", {"paused": True, "template": {"spec": containers}})
    found = await differences(session)
    assert found.keys() == {"NetworkPolicy/postgres", "HorizontalPodAutoscaler/users", "Deployment/users"}
    assert found["HorizontalPodAutoscaler/users"] == ("spec.maxReplicas changed: 10 -> 100",)
    assert found["NetworkPolicy/postgres"][0].startswith("spec.ingress[0].from removed: [")
    assert found["Deployment/users"] == (
        "spec.paused added: true",
        "spec.template.spec.containers[users].resources.limits.memory changed: 768Mi -> 4Gi",
        "spec.template.spec.hostPID added: true",
    )
    await put_back(session)
    assert await differences(session) == {}
