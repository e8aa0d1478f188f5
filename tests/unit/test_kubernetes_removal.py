"""What is removed, in which order, and what is left alone because another owner has it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, cast

import pytest

from stepflow.errors import PermanentError
from stepflow.targets.contract import Desired, Site, discard
from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.api.errors import ClusterRefusedError
from stepflow.targets.kubernetes.api.kinds import Object, key
from stepflow.targets.kubernetes.converge import deletion
from stepflow.targets.kubernetes.converge import remove as remove_module
from stepflow.targets.kubernetes.converge.compare import Change
from stepflow.targets.kubernetes.converge.execute import Executor
from stepflow.targets.kubernetes.converge.reconcile import plan
from stepflow.targets.kubernetes.converge.remove import removals, remove
from stepflow.targets.kubernetes.converge.where import Stages, Where
from stepflow.targets.kubernetes.manifests.names import MEANING, OURS, OWNER
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.targets.kubernetes.state.session import ClusterSession
from stepflow.workload import Declaration


class Cluster:
    """Objects of one cluster, which go as soon as they are removed, and the pods with what made them."""

    def __init__(self, *there: Object) -> None:
        self.there = [copy.deepcopy(each) for each in there]
        self.deleted: list[str] = []
        self.kept = ""  # the kind of what does not go

    async def list(
        self, api_version: str, kind: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> list[Object]:
        del api_version, namespace, fields
        name, _, value = labels.partition("=")
        found = [each for each in self.there if each["kind"] == kind]
        return [each for each in found if not name or each["metadata"]["labels"].get(name) == value]

    async def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        found = await self.list(api_version, kind, namespace)
        return next((each for each in found if each["metadata"]["name"] == name), None)

    async def apply(self, wanted: Object, **_: Any) -> Object:  # noqa: ANN401 - as a client takes it
        self.there = [each for each in self.there if key(each) != key(wanted)] + [wanted]
        return wanted

    async def delete(self, there: Object, *, policy: str = "") -> None:
        self.deleted.append(key(there))
        if there["kind"] == self.kept:
            return
        makers = () if policy == "Orphan" else (key(there),)
        self.there = [each for each in self.there if key(each) != key(there) and _maker(each) not in makers]


def _maker(each: Object) -> str:
    return next((one["maker"] for one in each["metadata"].get("ownerReferences", ())), "")


def thing(kind: str, name: str, owner: str = "orders", part: str = "service", made_by: str = "") -> Object:
    labels = {OURS: "0a1b2c", OWNER: owner, "app.kubernetes.io/component": part}
    meta: Object = {"name": name, "uid": f"{kind}/{name}", "labels": labels}
    if made_by:
        meta["ownerReferences"] = [{"uid": made_by, "maker": made_by}]
    return {"apiVersion": "v1", "kind": kind, "metadata": meta}


def session(tmp_path: Path, cluster: Cluster, namespace: str = "") -> ClusterSession:
    """Return a platform in that cluster, whose images no engine has."""
    who = KubernetesIdentity("shop", "0a1b2c", tmp_path)
    who.secrets.mkdir(exist_ok=True)
    site = Site("shop", tmp_path, tmp_path / "out", {})
    return ClusterSession.of(site, who, cast("Client", cluster), namespace or who.prefix)


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(deletion, "_STEP", 0.01)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")


async def test_jobs_go_first_so_that_no_one_waits_for_what_they_wait_for(tmp_path: Path) -> None:
    job, pod = thing("Job", "orders-migration"), thing("Pod", "orders-migration-x", made_by="Job/orders-migration")
    cluster = Cluster(job, pod, thing("Deployment", "orders"))
    assert await remove(session(tmp_path, cluster), None, discard, data=False) == ("orders",)
    assert cluster.deleted[0] == "Job/orders-migration"
    assert cluster.there == []


async def test_what_is_removed_is_printed_object_by_object_in_the_order_in_which_it_goes(tmp_path: Path) -> None:
    orders = [thing(kind, "orders") for kind in ("Service", "Secret", "Deployment", "NetworkPolicy")]
    nats = [thing("StatefulSet", "nats", "nats", "server"), thing("PersistentVolumeClaim", "data", "nats", "server")]
    pod = thing("Pod", "orders-x", made_by="Deployment/orders")
    cluster = Cluster(*orders, pod, *nats, thing("Job", "orders-migration"), thing("Deployment", "users", "users"))
    where = session(tmp_path, cluster)
    causes = {"orders": "its step is gone", "nats": "no step needs it"}
    printed = removals(causes, await where.everything.next(), where.identity.id)
    assert [str(each) for each in printed] == [
        "remove   Job/orders-migration: its step is gone",
        "remove   Deployment/orders: its step is gone",
        "remove   StatefulSet/nats: no step needs it",
        "remove   Service/orders: its step is gone",
        "remove   NetworkPolicy/orders: its step is gone",
    ]
    assert await remove(where, causes, discard, data=False) == ("orders", "nats")
    assert cluster.deleted == [each.name for each in printed]
    assert [key(each) for each in cluster.there] == ["Secret/orders", "PersistentVolumeClaim/data", "Deployment/users"]


async def test_pods_whose_controller_is_gone_are_removed_too(tmp_path: Path) -> None:
    cluster = Cluster(thing("Pod", "postgres-0", "postgres", "server"))
    assert await remove(session(tmp_path, cluster), None, discard, data=False) == ("postgres",)
    assert cluster.there == []


async def test_a_server_that_is_removed_by_name_leaves_its_data_and_its_password(tmp_path: Path) -> None:
    kinds = ("StatefulSet", "Service", "PersistentVolumeClaim", "Secret")
    cluster = Cluster(*(thing(kind, "postgres", "postgres", "server") for kind in kinds), thing("Deployment", "orders"))
    assert await remove(session(tmp_path, cluster), {"postgres"}, discard, data=False) == ("postgres",)
    assert [key(each) for each in cluster.there] == [
        "PersistentVolumeClaim/postgres",
        "Secret/postgres",
        "Deployment/orders",
    ]


async def test_a_namespace_and_a_priority_that_someone_gave_our_label_stay(tmp_path: Path) -> None:
    theirs = [thing("Namespace", "team", ""), thing("PriorityClass", "payroll", "platform")]
    ours = thing("PriorityClass", "team-data", "platform")
    cluster = Cluster(*theirs, ours)
    await remove(session(tmp_path, cluster, "team"), None, discard, data=True)
    assert cluster.there == theirs


@pytest.mark.parametrize(("name", "made"), [("shop-0a1b2c", {}), ("team", {MEANING: "0123456789abcdef"})])
async def test_the_namespace_that_stepflow_made_goes_with_all_data(
    tmp_path: Path, name: str, made: dict[str, str]
) -> None:
    namespace = thing("Namespace", name, "platform")
    namespace["metadata"]["annotations"] = made
    cluster = Cluster(namespace)
    await remove(session(tmp_path, cluster, name), None, discard, data=True)
    assert cluster.there == []


async def test_a_namespace_that_does_not_go_is_told_with_what_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "_LONGEST", 0.0)
    namespace = thing("Namespace", "shop-0a1b2c", "platform")
    said = [("NamespaceContentRemaining", "1 pod"), ("NamespaceDeletionDiscoveryFailure", "metrics.k8s.io is down")]
    namespace["status"] = {"conditions": [{"type": kind, "status": "True", "message": text} for kind, text in said]}
    cluster = Cluster(namespace)
    cluster.kept = "Namespace"
    with pytest.raises(PermanentError) as caught:
        await remove(session(tmp_path, cluster), None, discard, data=True)
    assert caught.value.message == (
        "the Namespace `shop-0a1b2c` is still there after 0 s; "
        "the last answer: it is being removed: metrics.k8s.io is down"
    )
    assert "kubectl get namespace shop-0a1b2c -o yaml" in caught.value.hint


async def test_pods_that_do_not_end_are_named_and_waited_for_by_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remove_module, "_LONGEST", 0.0)
    cluster = Cluster(thing("Deployment", "orders"), thing("Pod", "orders-a"), thing("Pod", "orders-b"))
    cluster.kept = "Pod"
    with pytest.raises(PermanentError) as caught:
        await remove(session(tmp_path, cluster), None, discard, data=False)
    assert caught.value.message == (
        "`orders` still has pods after 0 s; the last answer: `orders-a`, `orders-b` are shutting down"
    )
    assert "`kubectl delete pod --force NAME` abandons it" in caught.value.hint


@pytest.mark.parametrize("seen", [True, False])
async def test_what_is_going_is_waited_for_before_it_is_made_again(tmp_path: Path, seen: bool) -> None:  # noqa: FBT001 - a case
    going = thing("Service", "orders")
    going["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z"
    wanted = {**thing("Service", "orders"), "spec": {}}

    class Slow(Cluster):
        """Drops it when it is looked at for the third time."""

        looks = 0

        async def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
            self.looks += 1
            self.there = self.there if self.looks < 3 else []
            return await super().get(api_version, kind, name, namespace)

        async def apply(self, wanted: Object, **more: Any) -> Object:  # noqa: ANN401 - as a client takes it
            assert self.there == []
            return await super().apply(wanted, **more)

    cluster = Slow(going)
    executor = Executor(session(tmp_path, cluster), cast("Stages", None))
    await executor._create(Change(wanted, going if seen else None), discard)
    assert [key(each) for each in cluster.there] == ["Service/orders"]


@pytest.mark.parametrize(
    ("kind", "left"), [("StatefulSet", {"Pod/orders-0", "StatefulSet/orders"}), ("Job", {"Job/orders"})]
)
async def test_what_cannot_be_changed_is_made_again_and_the_pods_of_a_set_stay(
    tmp_path: Path, kind: str, left: set[str]
) -> None:
    class Fixed(Cluster):
        """Lets nothing be changed."""

        async def apply(self, wanted: Object, **more: Any) -> Object:  # noqa: ANN401 - as a client takes it
            if key(wanted) in map(key, self.there):
                raise ClusterRefusedError(422, "Invalid", "field is immutable")
            return await super().apply(wanted, **more)

    there = thing(kind, "orders")
    cluster = Fixed(there, thing("Pod", "orders-0", made_by=key(there)))
    executor = Executor(session(tmp_path, cluster), cast("Stages", None))
    await executor._replace(Change({**there, "spec": {}}, there), discard)
    assert {key(each) for each in cluster.there} == left


async def test_a_namespace_that_an_earlier_run_asked_for_is_used_by_a_later_one_that_does_not(tmp_path: Path) -> None:
    bare: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "labels": {}}}
    cluster = Cluster(bare)
    where = session(tmp_path, cluster, "team")
    seen = await where.everything.next()
    found = plan(Desired(Declaration()), seen, Where(where.site, where.identity, where.namespace))
    assert not [each for each in found if each.name.startswith("Namespace")]
    assert found
    assert cluster.there == [bare]
