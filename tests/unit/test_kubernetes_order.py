"""In which order a platform comes and goes, who decides on the number of copies, and whose objects are forced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from manifest_cases import ALL, GATEWAY, USERS, release, resolved

from stepflow.errors import PermanentError
from stepflow.handoff import ServerFile
from stepflow.targets.actions import Action, Verb
from stepflow.targets.contract import Site, discard
from stepflow.targets.kubernetes.api.client import MANAGER, Client
from stepflow.targets.kubernetes.api.kinds import Object, key
from stepflow.targets.kubernetes.converge.compare import Change
from stepflow.targets.kubernetes.converge.desired import Stage, Unit, stages, units
from stepflow.targets.kubernetes.converge.execute import Executor
from stepflow.targets.kubernetes.converge.remove import remove
from stepflow.targets.kubernetes.converge.where import Stages
from stepflow.targets.kubernetes.manifests.names import OURS, OWNER
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.targets.kubernetes.state.session import ClusterSession
from stepflow.workload import Declaration, Production

Reference = Mapping[int, Declaration]


def test_servers_come_first_then_databases_then_the_migration_then_the_workload() -> None:
    found = {each.name: each for each in units(release(ALL), resolved(ALL))}
    assert list(found) == ["nats", "postgres", "valkey", "database-users", "gateway", "users", "telemetry"]
    assert [found[name].needs for name in ("nats", "postgres", "valkey")] == [(), (), ()]
    assert found["database-users"].needs == ("postgres",)
    assert set(found["users"].needs) == {"postgres", "nats", "database-users"}
    assert [each["kind"] for each in found["users"].first] == ["Job"]
    assert found["users"].main["kind"] == "Deployment"
    assert found["telemetry"].needs == ("valkey",)
    assert (found["gateway"].needs, found["gateway"].first) == ((), ())


def test_a_workload_waits_for_those_that_its_declaration_says_too() -> None:
    late = replace(GATEWAY, needs=("users",))
    found = {each.name: each for each in units(release(ALL), resolved(Declaration((USERS, late))))}
    assert found["gateway"].needs == ("users",)


def test_a_server_of_the_users_own_is_not_waited_for() -> None:
    known = release(ALL, postgres={"external": {"users": {"secret": "theirs"}}})
    alone = Declaration((replace(USERS, env={"DATABASE_URL_FILE": ServerFile("postgres", "users")}),))
    (only,) = units(known, resolved(alone))
    assert (only.name, only.needs) == ("users", ())


def test_every_step_of_the_reference_platform_has_a_unit_for_all_that_it_waits_for(reference: Reference) -> None:
    shared = release(*reference.values())
    workloads = {each.name for declaration in reference.values() for each in declaration.workloads}
    for declaration in reference.values():
        found = units(shared, resolved(declaration))
        names = {each.name for each in found}
        assert {need for each in found for need in each.needs} <= names | workloads


def test_what_a_pod_needs_is_applied_before_it_and_its_controller_last() -> None:
    found = stages(release(ALL), resolved(ALL), ())
    assert [each["kind"] for stage in found[:2] for each in stage.objects[:1]] == ["Namespace", "PriorityClass"]
    before, migration, last = (each for each in found if each.owner == "users" and each.part != "image")
    assert ([each["kind"] for each in migration.objects], last.main["kind"]) == (["Job"], "Deployment")
    assert {"ServiceAccount", "Service", "NetworkPolicy", "PodDisruptionBudget"} <= {
        each["kind"] for each in before.objects
    }
    assert before.needs == (found[1].name,)
    assert {before.name, "built image users", "database-users", "nats"} <= set(migration.needs)
    assert {migration.name, before.name, "built image users"} <= set(last.needs)


def test_everything_that_a_stage_needs_comes_before_it() -> None:
    names: list[str] = []
    for stage in stages(release(ALL), resolved(ALL), ()):
        assert set(stage.needs) <= set(names)
        names.append(stage.name)


def test_autoscalers_are_made_by_a_unit_that_has_the_copies_itself_at_once() -> None:
    how = Production(ALL.workloads, (), ("gateway", "users"), at_least=3, at_most=9, cpu_target=70, automatic=True)
    (only,) = (each for each in units(release(ALL), resolved(replace(ALL, production=how))) if each.kind == "policy")
    assert {(each.name, each.copies) for each in only.least} == {("gateway", 3), ("users", 3)}


@dataclass
class Cluster:
    """Objects of one cluster, and what was asked for, in order."""

    there: dict[str, Object] = field(default_factory=dict)
    asked: list[tuple[str, str, bool, str]] = field(default_factory=list)

    async def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        del api_version, namespace
        return self.there.get(f"{kind}/{name}")

    async def list(self, api_version: str, kind: str, *_: object, **__: object) -> list[Object]:
        del api_version
        return [each for each in self.there.values() if each["kind"] == kind]

    async def apply(self, wanted: Object, *, force: bool = False, manager: str = MANAGER) -> Object:
        self.asked.append(("apply", key(wanted), force, manager))
        return wanted

    async def delete(self, there: Object, **_: object) -> None:
        self.asked.append(("delete", key(there), False, ""))
        del self.there[key(there)]


def thing(kind: str, name: str, part: str = "service", **spec: Any) -> Object:  # noqa: ANN401 - JSON
    labels = {OURS: "0a1b2c", OWNER: name, "app.kubernetes.io/component": part}
    version = "apps/v1" if kind in {"Deployment", "StatefulSet"} else "v1"
    meta = {"name": name, "namespace": "shop-0a1b2c", "uid": f"{kind}/{name}", "labels": labels}
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}


def session(folder: Path, cluster: Cluster) -> ClusterSession:
    who = KubernetesIdentity("shop", "0a1b2c", folder)
    who.secrets.mkdir(exist_ok=True)
    site, client = Site("shop", folder, folder / "out", {}), cast("Client", cluster)
    return ClusterSession.of(site, who, client, who.prefix)


async def execute(folder: Path, cluster: Cluster, verb: Verb, change: Change) -> None:
    executor = Executor(session(folder, cluster), cast("Stages", None))
    stage = Stage("objects of orders", "objects", Unit("orders", "workload", ()))
    await executor.execute(stage, Action(verb, "ConfigMap/orders", "why", "orders", subject=change), discard)


async def test_fields_are_taken_from_others_only_where_the_object_is_ours(tmp_path: Path) -> None:
    wanted, cluster = thing("ConfigMap", "orders"), Cluster()
    await execute(tmp_path, cluster, "create", Change(wanted))
    await execute(tmp_path, cluster, "change", Change(wanted, thing("ConfigMap", "orders", "other")))
    assert cluster.asked == [
        ("apply", "ConfigMap/orders", False, "stepflow"),
        ("apply", "ConfigMap/orders", True, "stepflow"),
    ]
    foreign = thing("ConfigMap", "orders")
    del foreign["metadata"]["labels"][OURS]
    cluster = Cluster({"ConfigMap/orders": foreign})
    with pytest.raises(PermanentError, match="`orders` in the cluster that is not stepflow's"):
        await execute(tmp_path, cluster, "create", Change(wanted))
    assert cluster.asked == []


async def test_who_is_served_goes_before_who_serves_and_data_stay(tmp_path: Path) -> None:
    server, users = thing("StatefulSet", "postgres", "server"), thing("StatefulSet", "users")
    claim, rule = thing("PersistentVolumeClaim", "postgres", "server"), thing("NetworkPolicy", "users")
    cluster = Cluster({key(each): each for each in (server, users, claim, rule)})
    gone = await remove(session(tmp_path, cluster), None, discard, data=False)
    assert gone == ("users", "postgres")
    order = [what for _, what, _, _ in cluster.asked]
    assert order.index("StatefulSet/users") < order.index("StatefulSet/postgres")
    assert list(cluster.there) == ["PersistentVolumeClaim/postgres"]
