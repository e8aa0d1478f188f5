"""What someone changes in a cluster is seen and put back; applying the same again does nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from bare_api import bare_api
from manifest_cases import PRODUCTION
from onenode.api import CONTEXT

from stepflow.targets import Site
from stepflow.targets.kubernetes.client import Client
from stepflow.targets.kubernetes.compare import same, stamped
from stepflow.targets.kubernetes.drift import drift
from stepflow.targets.kubernetes.forward import Forwarder
from stepflow.targets.kubernetes.identity import Identity
from stepflow.targets.kubernetes.images import Supply
from stepflow.targets.kubernetes.kinds import Object, key, path_of
from stepflow.targets.kubernetes.make import SALT, have
from stepflow.targets.kubernetes.place import Place, Watch
from stepflow.targets.kubernetes.sight import ALL, Sight, look
from stepflow.targets.secretfiles import secret_text

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
async def place(tmp_path: Path, context: str) -> AsyncIterator[Place]:
    """Return a place in which everything was applied."""
    who = Identity("shop", "0a1b2c", tmp_path)
    who.secrets.mkdir()
    site, client = Site("shop", tmp_path, tmp_path / "out"), Client(context)
    watch, supply = Watch(client, NAMESPACE, who.id), Supply(client, who, site)
    made = Place(site, who, client, NAMESPACE, Forwarder(client, NAMESPACE), watch, supply)
    for each in sorted(OBJECTS, key=lambda each: each["kind"] not in FIRST):
        await have(made, each, Sight({}))
    yield made
    client.close()


async def seen(place: Place) -> Sight:
    sight = await look(place.client, NAMESPACE, "0a1b2c", {k: v for k, v in ALL.items() if k not in OF_EXTENSIONS})
    namespace = await place.client.get("v1", "Namespace", NAMESPACE)
    return Sight({**sight.objects, "Namespace": [namespace] if namespace else []})


def differing(place: Place, sight: Sight) -> dict[str, tuple[str, ...]]:
    """Return the drift of each object that is not as it was applied."""
    found = {}
    for wanted in (stamped(each, secret_text(place.identity.secrets, SALT)) for each in OBJECTS):
        there = sight.named(wanted["kind"], wanted["metadata"]["name"])
        assert there is not None, key(wanted)
        if not same(wanted, there):
            found[key(wanted)] = drift(wanted, there)
    return found


async def edit(place: Place, sight: Sight, kind: str, name: str, spec: Object) -> None:
    """Change an object as `kubectl edit` does."""
    there = sight.named(kind, name)
    assert there is not None
    query = [("fieldManager", "kubectl-edit")]
    await place.client.in_thread(lambda: place.client.send("PATCH", path_of(there), query, {"spec": spec}, MERGE))


async def test_everything_is_as_it_was_applied_and_is_not_applied_again(place: Place) -> None:
    sight = await seen(place)
    assert differing(place, sight) == {}
    assert [key(each) for each in OBJECTS if await have(place, each, sight)] == []


async def test_what_someone_changed_and_added_is_named_and_put_back(place: Place) -> None:
    sight = await seen(place)
    there = sight.named("Deployment", "users")
    assert there is not None
    (container,) = there["spec"]["template"]["spec"]["containers"]
    limits = {**container["resources"], "limits": {**container["resources"]["limits"], "memory": "4Gi"}}
    await edit(place, sight, "NetworkPolicy", "postgres", OPENED)
    await edit(place, sight, "HorizontalPodAutoscaler", "users", {"maxReplicas": 100})
    containers = {"containers": [{**container, "resources": limits}], "hostPID": True}
    await edit(place, sight, "Deployment", "users", {"paused": True, "template": {"spec": containers}})
    sight = await seen(place)
    found = differing(place, sight)
    assert found.keys() == {"NetworkPolicy/postgres", "HorizontalPodAutoscaler/users", "Deployment/users"}
    assert found["HorizontalPodAutoscaler/users"] == ("spec.maxReplicas changed: 10 -> 100",)
    assert found["NetworkPolicy/postgres"][0].startswith("spec.ingress[0].from removed: [")
    assert found["Deployment/users"] == (
        "spec.paused added: true",
        "spec.template.spec.containers[users].resources.limits.memory changed: 768Mi -> 4Gi",
        "spec.template.spec.hostPID added: true",
    )
    assert sorted([key(each) for each in OBJECTS if await have(place, each, sight)]) == sorted(found)
    sight = await seen(place)
    assert differing(place, sight) == {}
    assert [key(each) for each in OBJECTS if await have(place, each, sight)] == []
