"""What has to be done in a cluster, as a plan prints it, and that doing it is what was printed and leaves no more."""

from __future__ import annotations

import asyncio
import copy
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from manifest_cases import GATEWAY, TELEMETRY, USERS
from memory_cluster import Shop

from stepflow.errors import PermanentError
from stepflow.handoff import ServerFile
from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired, Progress, discard
from stepflow.targets.kubernetes.api.kinds import OF_THE_CLUSTER, Object, key
from stepflow.targets.kubernetes.converge import deletion, rollout
from stepflow.targets.kubernetes.converge.execute import Executor, apply
from stepflow.targets.kubernetes.converge.where import Stages
from stepflow.targets.kubernetes.manifests.names import OURS, OWNER, PART_OF
from stepflow.targets.kubernetes.state import diagnose, session
from stepflow.workload import Declaration, Production, Workload

HELLO = replace(USERS, name="hello", context="hello", env={"A": "1"}, migrate=(), replicas=2)
BACK = "roll back if it does not become ready"
STUCK = "delete pods of other versions that are not ready"
KEPT = ["keep     Deployment/hello: unchanged and ready"]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture(autouse=True, scope="module")
def at_once() -> Iterable[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "_STEP", 0.0)
        patch.setattr(session, "_PAUSE", 0.0)
        patch.setattr(deletion, "_STEP", 0.0)
        yield


def desired(*workloads: Workload, digest: str = "1", **more: Any) -> Desired:  # noqa: ANN401 - of a declaration
    digests = dict.fromkeys([*(each.name for each in workloads), "production"], digest)
    return Desired(Declaration(workloads, **more), digests, (GATEWAY, *workloads))


def changing(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("keep")]


async def test_first_plan_creates_all_in_order_and_asks_no_cluster_and_writes_nothing(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    printed = await shop.printed(desired(HELLO))
    assert printed == [
        "create   Namespace/shop: it does not exist",
        "create   PriorityClass/shop-data: it does not exist",
        "create   PriorityClass/shop-service: it does not exist",
        "create   NetworkPolicy/default-deny: it does not exist",
        "build    image hello, load it into nodes that lack it: `hello` does not run yet",
        "create   ServiceAccount/hello: it does not exist",
        "create   NetworkPolicy/hello: it does not exist",
        "create   NetworkPolicy/role.gateway.to.hello: it does not exist",
        "create   Service/hello: it does not exist",
        "create   PodDisruptionBudget/hello: it does not exist",
        "create   Deployment/hello: it does not exist",
    ]
    assert (shop.cluster.asked, list((tmp_path / "secrets").iterdir())) == ([], [])
    assert await shop.run(desired(HELLO)) == printed
    assert await shop.printed(desired(HELLO)) == KEPT


async def test_network_policy_opened_to_everybody_is_named_and_put_back(shop: Shop) -> None:
    users = desired(USERS)
    await shop.run(users)
    shop.edit("NetworkPolicy/postgres", "spec", "ingress", 0, "from", to=None)
    peers = '[{"podSelector": {"matchLabels": {"stepflow.dev/uses-post...'
    line = f"change   NetworkPolicy/postgres: spec.ingress[0].from removed: {peers}"
    assert changing(await shop.printed(users)) == [line]
    assert changing(await shop.run(users)) == [line]
    assert changing(await shop.printed(users)) == []


async def test_changed_memory_limit_is_named_and_put_back(shop: Shop) -> None:
    await shop.run(desired(HELLO))
    path = ("spec", "template", "spec", "containers", 0, "resources", "limits", "memory")
    shop.edit("Deployment/hello", *path, to="4Gi")
    limit = "spec.template.spec.containers[hello].resources.limits.memory changed: 768Mi -> 4Gi"
    assert await shop.printed(desired(HELLO)) == [
        "load     image hello if a node lacks it: pods of `hello` start",
        f"change   Deployment/hello, {BACK}: {limit}",
    ]
    await shop.run(desired(HELLO))
    assert await shop.printed(desired(HELLO)) == KEPT


async def test_changed_greatest_number_of_copies_is_named_and_put_back(shop: Shop) -> None:
    how = Production((HELLO,), (), ("hello",), at_least=2, at_most=9, cpu_target=70, automatic=True)
    all_of_it = desired(HELLO, production=how)
    await shop.run(all_of_it)
    assert await shop.printed(all_of_it) == [*KEPT, "keep     production: 3 objects as declared"]
    shop.edit("HorizontalPodAutoscaler/hello", "spec", "maxReplicas", to=100)
    line = "change   HorizontalPodAutoscaler/hello: spec.maxReplicas changed: 9 -> 100"
    assert changing(await shop.printed(all_of_it)) == [line]
    assert changing(await shop.run(all_of_it)) == [line]
    assert changing(await shop.printed(all_of_it)) == []


async def test_what_goes_with_its_namespace_is_planned_as_if_it_were_gone(shop: Shop) -> None:
    first = await shop.printed(desired(HELLO))
    await shop.run(desired(HELLO))
    [namespace] = [name for name in shop.cluster.there if name.startswith("Namespace/")]
    shop.edit(namespace, "metadata", "deletionTimestamp", to="2026-11-23T00:00:00Z")
    going = first.pop(next(number for number, line in enumerate(first) if "Namespace/" in line))
    within = [line for line in first if "PriorityClass/" not in line]
    printed = await shop.printed(desired(HELLO))
    assert printed == [going.replace("it does not exist", "it is being removed"), *within]


async def test_several_changed_fields_are_named(shop: Shop) -> None:
    await shop.run(desired(HELLO))
    shop.edit("Deployment/hello", "spec", "paused", to=True)
    shop.edit("Deployment/hello", "spec", "template", "spec", "hostPID", to=True)
    shop.edit("Deployment/hello", "spec", "replicas", to=1)
    fields = "spec.paused added: true; spec.template.spec.hostPID added: true"
    line = f"change   Deployment/hello, {BACK}: {fields}; it has 1 copy instead of 2"
    assert (await shop.printed(desired(HELLO)))[-1] == line


async def test_variable_that_changed_alone_is_named_with_both_values(shop: Shop) -> None:
    await shop.run(desired(HELLO))
    assert (await shop.printed(desired(replace(HELLO, env={"A": "2"}))))[-1] == (
        f"change   Deployment/hello, {BACK}: spec.template.spec.containers[hello].env[A].value 1 -> 2"
    )


async def test_another_digest_builds_and_changes_what_runs_and_migrates_where_the_image_is_another(shop: Shop) -> None:
    await shop.run(desired(USERS))
    shop.source = "2"
    another = desired(USERS, digest="2")
    assert changing(await shop.printed(another)) == [
        "build    image users, load it into nodes that lack it: what it is made from changed",
        "remove   older images of users if the nodes have images of their own: superseded",
        "create   Job/users-migration if another image: its image is yet to be built",
        f"change   Deployment/users, {BACK}: what it is made from changed",
        f"remove   {job(shop)} if another image: it is no longer declared",
    ]
    assert changing(await shop.run(another)) == [
        "build    image users, load it into nodes that lack it: what it is made from changed",
        "remove   older images of users if the nodes have images of their own: superseded",
        "create   Job/users-migration: it has another image or command",
        f"change   Deployment/users, {BACK}: what it is made from changed",
        f"remove   {shop.cluster.removed}: it is no longer declared",
    ]
    assert changing(await shop.printed(another)) == []


async def test_same_image_of_another_digest_is_not_migrated_to_again(shop: Shop) -> None:
    await shop.run(desired(USERS))
    done = changing(await shop.run(desired(USERS, digest="2")))
    assert done == [
        "build    image users, load it into nodes that lack it: what it is made from changed",
        "remove   older images of users if the nodes have images of their own: superseded",
        f"change   Deployment/users, {BACK}: what it is made from changed",
    ]


def job(shop: Shop) -> str:
    return next(name for name in shop.cluster.there if name.startswith("Job/users-migration"))


async def test_number_of_copies_is_scaled_both_ways(shop: Shop) -> None:
    await shop.run(desired(HELLO))
    assert (await shop.printed(desired(replace(HELLO, replicas=3))))[-1] == (
        "scale    Deployment/hello: it has 2 copies instead of 3"
    )
    one = desired(replace(HELLO, replicas=1))
    assert (await shop.run(one))[-1] == "scale    Deployment/hello: it has 2 copies instead of 1"
    assert await shop.printed(one) == KEPT
    shop.edit("Deployment/hello", "spec", "replicas", to=4)
    shop.cluster.asked.clear()
    assert (await shop.run(one))[-1] == "scale    Deployment/hello: it has 4 copies instead of 1"
    (call,) = shop.cluster.asked
    assert (call[0], call[1]["spec"]) == ("apply", {"replicas": 1})


async def test_image_is_loaded_only_for_pods_that_start(shop: Shop) -> None:
    await shop.run(desired(HELLO))
    load = "load     image hello if a node lacks it: pods of `hello` start"
    assert load in await shop.printed(desired(replace(HELLO, replicas=3)))
    assert load not in await shop.printed(desired(replace(HELLO, replicas=1)))
    shop.edit("Deployment/hello", "spec", "paused", to=True)
    assert await shop.printed(desired(HELLO)) == ["change   Deployment/hello: spec.paused added: true"]
    await shop.run(desired(HELLO, TELEMETRY))
    shop.edit("StatefulSet/telemetry", "spec", "replicas", to=0)
    assert changing(await shop.printed(desired(TELEMETRY))) == [
        "load     image telemetry if a node lacks it: pods of `telemetry` start",
        "change   StatefulSet/telemetry: spec.replicas changed: 1 -> 0",
    ]


async def test_number_of_copies_is_an_autoscalers_where_there_is_one_unless_it_was_stopped(shop: Shop) -> None:
    how = Production((HELLO,), (), ("hello",), at_least=2, at_most=9, cpu_target=70, automatic=True)
    await shop.run(desired(HELLO, production=how))
    shop.edit("Deployment/hello", "spec", "replicas", to=7)
    assert await shop.printed(desired(HELLO)) == KEPT
    shop.edit("Deployment/hello", "spec", "replicas", to=0)
    assert (await shop.printed(desired(HELLO)))[-1] == "scale    Deployment/hello: it has 0 copies instead of 2"


async def test_production_scales_what_is_yet_to_be_created_if_it_is_too_small(shop: Shop) -> None:
    one = replace(HELLO, replicas=1)
    how = Production((one,), (), ("hello",), at_least=3, at_most=9, cpu_target=70, automatic=True)
    printed = await shop.printed(desired(one, production=how))
    assert printed[-1] == "scale    Deployment/hello if it has fewer than 3 copies: its autoscaler keeps as many"
    done = await shop.run(desired(one, production=how))
    assert done[-1] == "scale    Deployment/hello: it has 1 copy, and its autoscaler keeps at least 3"
    assert changing(await shop.printed(desired(one, production=how))) == []


async def test_what_is_no_longer_declared_is_removed_but_never_data_and_secrets(shop: Shop) -> None:
    await shop.run(desired(TELEMETRY))
    less = replace(TELEMETRY, ports=TELEMETRY.ports[:1])
    extra = {"Service/telemetry-old": "Service", "ConfigMap/telemetry-old": "ConfigMap"}
    for name, kind in {**extra, "PersistentVolumeClaim/telemetry-old": "PersistentVolumeClaim"}.items():
        labels = {OURS: "0a1b2c", OWNER: "telemetry"}
        shop.cluster.put(
            {
                "apiVersion": "v1",
                "kind": kind,
                "spec": {"ports": []},
                "metadata": {"name": name.split("/")[1], "labels": labels},
            }
        )
    assert sorted(line for line in await shop.printed(desired(less)) if line.startswith("remove")) == [
        "remove   ConfigMap/telemetry-old: it is no longer declared",
        "remove   NetworkPolicy/role.workload.to.telemetry: it is no longer declared",
        "remove   Service/telemetry-old: it is no longer declared",
    ]
    await shop.run(desired(less))
    assert changing(await shop.printed(desired(less))) == []
    assert "PersistentVolumeClaim/telemetry-old" in shop.cluster.there


async def test_what_cannot_be_changed_is_replaced(shop: Shop) -> None:
    await shop.run(desired(TELEMETRY))
    shop.edit("PriorityClass/shop-0a1b2c-data", "value", to=1)
    set_of = "StatefulSet/telemetry"
    claim = ("spec", "volumeClaimTemplates", 0, "spec", "resources", "requests", "storage")
    shop.edit(set_of, *claim, to="1Gi")
    pods = [each["metadata"]["uid"] for each in shop.cluster.there.values() if each["kind"] == "Pod"]
    assert changing(await shop.printed(desired(TELEMETRY))) == [
        "replace  PriorityClass/shop-data: value changed: 1000 -> 1",
        "load     image telemetry if a node lacks it: pods of `telemetry` start",
        f"replace  {set_of}: spec.volumeClaimTemplates[0].spec.resources.requests.storage changed: 8Gi -> 1Gi",
    ]
    await shop.run(desired(TELEMETRY))
    assert changing(await shop.printed(desired(TELEMETRY))) == []
    assert pods == [each["metadata"]["uid"] for each in shop.cluster.there.values() if each["kind"] == "Pod"]


async def test_foreign_object_of_the_same_name_is_an_error_and_not_an_action(shop: Shop) -> None:
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hello", "labels": {}}, "spec": {}}
    shop.cluster.put(theirs)
    with pytest.raises(PermanentError) as refused:
        await shop.printed(desired(HELLO))
    assert refused.value.message == "there is a Service `hello` in the cluster that is not stepflow's"
    assert refused.value.hint == (
        "stepflow touches only what carries its label: remove or rename it, or use another `--namespace`"
    )
    with pytest.raises(PermanentError, match="there is a Service `hello` in the cluster"):
        await shop.run(desired(HELLO))
    assert "Deployment/hello" not in shop.cluster.there


NAMESPACE = "Namespace/shop-0a1b2c"


@pytest.mark.parametrize(
    ("name", "printed"),
    [("Service/users", ""), ("Deployment/users", ""), ("Secret/nats-url", ""), (NAMESPACE, "Namespace/shop")],
)
async def test_object_that_has_lost_its_label_gets_it_back(shop: Shop, name: str, printed: str) -> None:
    await shop.run(desired(USERS))
    shop.edit(name, "metadata", "labels", OURS, to=None)
    line = f"change   {printed or name}: metadata.labels[{OURS}] removed: 0a1b2c"
    assert changing(await shop.printed(desired(USERS))) == [line]
    assert changing(await shop.run(desired(USERS))) == [line]
    assert changing(await shop.printed(desired(USERS))) == []


async def test_object_of_another_platform_that_has_lost_its_label_is_foreign(shop: Shop) -> None:
    await shop.run(desired(HELLO))
    shop.edit("Service/hello", "metadata", "labels", OURS, to=None)
    shop.edit("Service/hello", "metadata", "labels", PART_OF, to="theirs-ffffff")
    with pytest.raises(PermanentError, match="there is a Service `hello` in the cluster that is not stepflow's"):
        await shop.printed(desired(HELLO))


@pytest.mark.parametrize("name", ["Service/hello", "Deployment/hello"])
async def test_object_that_has_lost_its_label_in_a_users_namespace_is_named_with_the_way_to_put_it_back(
    tmp_path: Path, name: str
) -> None:
    shop = Shop(tmp_path, {"namespace": "team"})
    shop.cluster.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "labels": {}}})
    await shop.run(desired(HELLO))
    shop.edit(name, "metadata", "labels", OURS, to=None)
    kind = name.partition("/")[0]
    with pytest.raises(PermanentError) as refused:
        await shop.printed(desired(HELLO))
    assert refused.value.message == f"the {kind} `hello` in the cluster has lost its label `{OURS}`"
    command = f"kubectl -n team label {kind.lower()} hello {OURS}=0a1b2c"
    assert refused.value.hint == f"`{command}` puts it back"


async def test_foreign_secret_in_the_platforms_namespace_is_an_error_and_not_an_action(shop: Shop) -> None:
    await shop.run(desired(HELLO))
    meta = {"name": "secret-admin-password-b6cb92e3", "labels": {}}
    shop.cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"value": "eA=="}})
    with pytest.raises(PermanentError, match="there is a Secret `secret-admin-password-b6cb92e3` in the cluster"):
        await shop.printed(desired(HELLO, USERS))


async def test_foreign_secret_which_is_not_looked_at_is_met_before_it_is_touched(tmp_path: Path) -> None:
    shop = Shop(tmp_path, {"namespace": "team"})
    meta = {"name": "secret-admin-password-b6cb92e3", "labels": {}}
    shop.cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"value": "eA=="}})
    assert "create   Secret/secret-admin-password-b6cb92e3: it does not exist" in await shop.printed(desired(USERS))
    with pytest.raises(PermanentError, match="there is a Secret `secret-admin-password-b6cb92e3` in the cluster"):
        await shop.run(desired(USERS))
    assert shop.cluster.there[f"Secret/{meta['name']}"]["data"] == {"value": "eA=="}


async def test_namespace_of_someone_else_is_used_when_it_was_asked_for_and_left_as_it_is(tmp_path: Path) -> None:
    theirs: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "labels": {}}}
    shop = Shop(tmp_path, {"namespace": "team"})
    shop.cluster.put(theirs)
    assert not [line for line in await shop.printed(desired(HELLO)) if "Namespace" in line]
    await shop.run(desired(HELLO))
    assert shop.cluster.there["Namespace/team"]["metadata"]["labels"] == {"kubernetes.io/metadata.name": "team"}
    shop.cluster.there["Namespace/team"]["metadata"]["labels"] = {OURS: "ffffff"}
    with pytest.raises(PermanentError, match="the namespace `team` is another platform's"):
        await shop.printed(desired(HELLO))


def uids(shop: Shop, owner: str) -> set[str]:
    """Return what tells the pods of an owner from any others."""
    found = (each["metadata"] for each in shop.cluster.there.values() if each["kind"] == "Pod")
    return {each["uid"] for each in found if each["labels"][OWNER] == owner}


async def test_secret_that_was_changed_is_named_without_its_value_and_made_again_and_what_mounts_it_restarts(
    shop: Shop,
) -> None:
    await shop.run(desired(USERS))
    before = uids(shop, "users"), uids(shop, "postgres")
    shop.edit("Secret/nats-url", "data", "url", to="aHVudGVyMg==")
    lines = [
        "replace  Secret/nats-url: data.url changed",
        "load     image users if a node lacks it: pods of `users` start",
        f"restart  Deployment/users, {BACK}: its pods started with another `Secret/nats-url`",
    ]
    assert changing(await shop.printed(desired(USERS))) == lines
    assert changing(await shop.run(desired(USERS))) == lines
    assert not before[0] & uids(shop, "users")
    assert before[1] == uids(shop, "postgres")
    assert changing(await shop.printed(desired(USERS))) == []


async def test_secret_of_which_someone_only_changed_a_label_is_changed_in_place_and_restarts_nothing(
    shop: Shop,
) -> None:
    await shop.run(desired(USERS))
    shop.edit("Secret/nats-url", "metadata", "labels", "app.kubernetes.io/part-of", to="other")
    line = "change   Secret/nats-url: metadata.labels[app.kubernetes.io/part-of] changed: shop-0a1b2c -> other"
    assert changing(await shop.printed(desired(USERS))) == [line]
    assert changing(await shop.run(desired(USERS))) == [line]


async def test_pods_that_started_with_a_changed_configuration_restart_also_when_a_run_was_cut_off_before_that(
    shop: Shop,
) -> None:
    await shop.run(desired(TELEMETRY))
    config = next(name for name in shop.cluster.there if name.startswith("ConfigMap/valkey"))
    restart = f"restart  StatefulSet/valkey, {STUCK}, {BACK}: its pods started with another `{config}`"
    shop.edit(config, "data", "more", to="x")
    assert [line for line in changing(await shop.printed(desired(TELEMETRY))) if "load" not in line] == [
        f"replace  {config}: data.more added",
        restart,
    ]
    shop.cluster.refused = "StatefulSet/valkey"
    with pytest.raises(PermanentError, match="cut off"):
        await shop.run(desired(TELEMETRY))
    shop.cluster.refused = ""
    assert changing(await shop.printed(desired(TELEMETRY)))[-1] == restart
    await shop.run(desired(TELEMETRY))
    assert changing(await shop.printed(desired(TELEMETRY))) == []


async def test_workload_that_comes_to_mount_a_secret_in_the_run_that_makes_it_again_starts_once(shop: Shop) -> None:
    mounting = replace(HELLO, env={"NATS": ServerFile("nats")})
    other = replace(mounting, name="other", context="other")
    await shop.run(desired(mounting))
    shop.edit("Secret/nats-url", "data", "url", to="aHVudGVyMg==")
    printed = await shop.printed(desired(mounting, other))
    assert printed[-1] == "create   Deployment/other: it does not exist"
    assert await shop.run(desired(mounting, other)) == printed
    assert changing(await shop.printed(desired(mounting, other))) == []
    shop.cluster.drop("Deployment/other")
    create = "create   Deployment/other: it does not exist"
    assert changing(await shop.printed(desired(mounting, other)))[-1] == create
    await shop.run(desired(mounting, other))
    assert changing(await shop.printed(desired(mounting, other))) == []


async def test_copy_that_someone_keeps_without_the_label_is_neither_removed_nor_read(shop: Shop) -> None:
    await shop.run(desired(HELLO))
    kept = copy.deepcopy(shop.cluster.there["Deployment/hello"])
    kept["metadata"] |= {"name": "hello-mine", "uid": "mine"}
    del kept["metadata"]["labels"][OURS]
    container = kept["spec"]["template"]["spec"]["containers"][0]
    container["image"] = container["image"].partition(":")[0] + ":canary"
    kept["spec"]["replicas"] = 0
    shop.cluster.there["Deployment/hello-mine"] = kept
    assert await shop.printed(desired(HELLO)) == KEPT
    await shop.run(desired(HELLO))
    assert "Deployment/hello-mine" in shop.cluster.there


async def test_all_that_pods_are_behind_is_named_and_they_start_again_once(shop: Shop) -> None:
    await shop.run(desired(USERS))
    for name, field in (("Secret/nats-url", "url"), ("Secret/postgres-users-url", "url")):
        shop.edit(name, "data", field, to="aHVudGVyMg==")
    cause = "its pods started with another `Secret/nats-url`, `Secret/postgres-users-url`"
    assert changing(await shop.printed(desired(USERS)))[-1] == f"restart  Deployment/users, {BACK}: {cause}"
    shop.cluster.asked.clear()
    assert changing(await shop.run(desired(USERS)))[-1] == f"restart  Deployment/users, {BACK}: {cause}"
    applied = [key(each) for verb, each in shop.cluster.asked if verb == "apply"]
    assert applied.count("Deployment/users") == 1


async def test_pods_that_are_left_without_their_stateful_set_start_again_after_a_changed_configuration(
    shop: Shop,
) -> None:
    await shop.run(desired(TELEMETRY))
    config = next(name for name in shop.cluster.there if name.startswith("ConfigMap/valkey"))
    shop.edit(config, "data", "more", to="x")
    shop.cluster.drop("StatefulSet/valkey", cascade=False)
    behind = f"it does not exist; its pods started with another `{config}`"
    line = f"create   StatefulSet/valkey, {STUCK}: {behind}"
    assert line in await shop.printed(desired(TELEMETRY))
    before = uids(shop, "valkey")
    await shop.run(desired(TELEMETRY))
    assert not before & uids(shop, "valkey")
    assert changing(await shop.printed(desired(TELEMETRY))) == []


async def test_restart_after_a_changed_secret_goes_with_what_else_changes_without_other_pods(shop: Shop) -> None:
    await shop.run(desired(USERS))
    shop.edit("Secret/nats-url", "data", "url", to="aHVudGVyMg==")
    shop.edit("Deployment/users", "spec", "paused", to=True)
    assert (await shop.printed(desired(USERS)))[-1] == (
        f"change   Deployment/users, {BACK}: spec.paused added: true; its pods started with another `Secret/nats-url`"
    )
    before = uids(shop, "users")
    await shop.run(desired(USERS))
    assert not before & uids(shop, "users")
    assert changing(await shop.printed(desired(USERS))) == []


async def test_secrets_that_this_machine_lost_are_read_back_and_nothing_is_changed_for_it(shop: Shop) -> None:
    await shop.run(desired(USERS))
    texts = {each.name: each.read_text() for each in (shop.folder / "secrets").iterdir() if each.name != "label-salt"}
    for name in texts:
        (shop.folder / "secrets" / name).unlink()
    assert changing(await shop.printed(desired(USERS))) == []
    await shop.run(desired(USERS))
    assert {name: (shop.folder / "secrets" / name).read_text() for name in texts} == texts


async def test_what_ended_and_what_knows_data_that_are_gone_is_restarted(shop: Shop) -> None:
    await shop.run(desired(USERS))
    ended = {"exitCode": 3, "reason": "Error"}
    status = {"name": "users", "ready": False, "restartCount": 5, "lastState": {"terminated": ended}}
    waiting = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    shop.cluster.there["Pod/users-1"]["status"] = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{**status, **waiting}],
    }
    assert changing(await shop.printed(desired(USERS)))[-1] == "restart  Deployment/users: `users-1` exited with code 3"
    await shop.run(desired(USERS))
    assert changing(await shop.printed(desired(USERS))) == []
    del shop.cluster.there["StatefulSet/postgres"], shop.cluster.there["Pod/postgres-0"]
    del shop.cluster.there["PersistentVolumeClaim/data-postgres-0"]
    assert changing(await shop.printed(desired(USERS)))[-3:] == [
        "replace  Job/database-users if `postgres` gets new data: it worked on other data",
        "replace  Job/users-migration if `postgres` gets new data: it worked on other data",
        "restart  Deployment/users if `postgres` gets new data: it was started with other data",
    ]
    done = changing(await shop.run(desired(USERS)))
    assert "replace  Job/database-users: it is older than the data that it works on" in done
    assert done[-1] == "restart  Deployment/users: `users-0` is older than the data that it works on"
    assert changing(await shop.printed(desired(USERS))) == []


async def test_controller_that_is_not_rolled_out_is_waited_for_with_its_reason(shop: Shop) -> None:
    await shop.run(desired(HELLO))
    shop.cluster.there["Pod/hello-1"]["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "too full"}],
    }
    assert (await shop.printed(desired(HELLO))) == [
        "wait     Deployment/hello: `hello-1` cannot be placed on any node: too full"
    ]


async def test_missing_rule_of_a_workload_that_answers_is_its_own_action(shop: Shop) -> None:
    await shop.run(desired(HELLO))
    del shop.cluster.there["NetworkPolicy/default-deny"], shop.cluster.there["Service/hello"]
    assert await shop.printed(desired(HELLO)) == [
        "create   NetworkPolicy/default-deny: it does not exist",
        "create   Service/hello: it does not exist",
        *KEPT,
    ]


async def test_version_whose_readiness_was_not_recorded_yet_is_waited_for(shop: Shop) -> None:
    await shop.run(desired(HELLO))
    keeper = next(each for each in shop.cluster.there.values() if each["kind"] == "ReplicaSet")
    del keeper["metadata"]["annotations"]["stepflow.dev/proven"]
    assert await shop.printed(desired(HELLO)) == ["wait     Deployment/hello: it is ready, which is not recorded yet"]
    await shop.run(desired(HELLO))
    assert await shop.printed(desired(HELLO)) == KEPT


async def test_official_image_stays_as_it_runs_by_tag_or_digest(shop: Shop) -> None:
    only = desired(replace(HELLO, env={"NATS": ServerFile("nats")}))
    await shop.run(only)
    image = shop.cluster.there["StatefulSet/nats"]["spec"]["template"]["spec"]["containers"][0]
    image["image"] = image["image"].partition("@")[0]
    shop.cluster.settle()
    assert not [line for line in await shop.printed(only) if "StatefulSet/nats" in line and "image" in line]


async def test_image_that_is_pushed_says_where_and_nothing_is_loaded_for_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path, {"registry": "registry.example/team"})
    build = "build    image hello, push it to registry.example/team"
    printed = await shop.printed(desired(HELLO))
    assert [line for line in printed if "image" in line] == [f"{build}: `hello` does not run yet"]
    assert await shop.run(desired(HELLO)) == printed
    shop.source = "2"
    assert changing(await shop.run(desired(HELLO, digest="2"))) == [
        f"{build}: what it is made from changed",
        f"change   Deployment/hello, {BACK}: what it is made from changed",
    ]
    assert shop.provided == [("build", "hello"), ("push", "hello")] * 2


async def test_version_that_does_not_become_ready_is_rolled_back_as_its_action_says(shop: Shop) -> None:
    await shop.run(desired(HELLO))
    shop.cluster.failing = "broken"
    broken = desired(replace(HELLO, env={"A": "broken"}))
    (line,) = [line for line in await shop.printed(broken) if "Deployment" in line]
    assert line == f"change   Deployment/hello, {BACK}: spec.template.spec.containers[hello].env[A].value 1 -> broken"
    with pytest.raises(PermanentError) as failed:
        await shop.run(broken)
    assert failed.value.message == (
        "`hello-2` exited with code 3\nthe last lines of its log:\n  cannot go on\n"
        "`hello` was rolled back: the last version that was ready runs again"
    )
    assert [name for name in shop.cluster.there if name.startswith("Pod/")] == ["Pod/hello-0", "Pod/hello-1"]
    await shop.run(desired(HELLO))
    assert await shop.printed(desired(HELLO)) == KEPT


async def test_version_without_an_earlier_one_says_nothing_of_a_rollback_and_is_not_rolled_back(shop: Shop) -> None:
    shop.cluster.failing = "broken"
    broken = desired(replace(HELLO, env={"A": "broken"}))
    assert (await shop.printed(broken))[-1] == "create   Deployment/hello: it does not exist"
    with pytest.raises(PermanentError) as failed:
        await shop.run(broken)
    assert failed.value.message.endswith(
        "not rolled back: this version of `hello` was ready before, or there is no earlier one"
    )
    assert (await shop.printed(broken))[-1] == "restart  Deployment/hello: `hello-1` exited with code 3"


@pytest.mark.parametrize(("workload", "pod"), [(HELLO, "hello-1"), (TELEMETRY, "telemetry-0")])
async def test_pod_that_is_never_made_on_its_node_is_waited_for_aloud_and_not_for_ever(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, workload: Workload, pod: str
) -> None:
    monkeypatch.setattr(diagnose, "START", 0.05)
    shop.cluster.failing, shop.cluster.waiting = "broken", "ContainerCreating"
    broken = desired(replace(workload, env={**workload.env, "A": "broken"}))
    said: list[Progress] = []
    with pytest.raises(PermanentError) as failed:
        await apply(shop.session(), broken, said.append)
    assert failed.value.message == (
        f"`{pod}` is not ready after 0.05 s; the last answer: it is being made on its node\n"
        f"not rolled back: this version of `{workload.name}` was ready before, or there is no earlier one"
    )
    assert f"`kubectl describe pod {pod}` shows what happened to it" in failed.value.hint
    heard = [each.answer for each in said if each.waiting_for == f"`{workload.name}`"]
    assert heard == [f"0 of {workload.replicas} ready; `{pod}` is being made on its node"]


async def test_controller_of_which_nothing_is_seen_is_not_waited_for_for_ever(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.run(desired(TELEMETRY))
    shop.cluster.there["StatefulSet/telemetry"]["metadata"]["generation"] = 2  # which no controller looks at
    monkeypatch.setattr(diagnose, "START", 0.05)
    with pytest.raises(PermanentError) as failed:
        await rollout.rolled_out(shop.session(), "StatefulSet", "telemetry", 30.0, discard)
    assert failed.value.message == "`telemetry` is not ready after 0.05 s, and the cluster does not say why"
    assert failed.value.hint == "`kubectl describe statefulset telemetry` shows what happened to it"


@pytest.mark.parametrize(
    ("pods", "message"),
    [
        ([], "`copy` is not ready after 0.05 s, and the cluster does not say why"),
        (["copy-1"], "`copy-1` is not ready after 0.05 s; the last answer: it is on its way to a node"),
    ],
)
async def test_job_whose_pod_never_starts_is_not_waited_for_for_ever(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, pods: list[str], message: str
) -> None:
    monkeypatch.setattr(diagnose, "START", 0.05)
    labels = {OURS: "0a1b2c", OWNER: "copy"}
    shop.cluster.there["Job/copy"] = {"kind": "Job", "metadata": {"name": "copy", "uid": "c", "labels": labels}}
    owners = [{"uid": "c", "kind": "Job"}]
    for name in pods:
        meta = {"name": name, "labels": labels, "ownerReferences": owners}
        shop.cluster.put({"kind": "Pod", "metadata": meta, "spec": {}, "status": {"phase": "Pending"}})
    with pytest.raises(PermanentError) as failed:
        await rollout.finished(shop.session(), "copy", "copy of data", discard)
    assert failed.value.message == message


async def test_pods_for_which_a_stateful_set_would_wait_are_deleted_as_its_action_says(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "_STUCK", 0.0)
    await shop.run(desired(TELEMETRY))
    shop.cluster.failing = "broken"
    broken = desired(replace(TELEMETRY, env={**TELEMETRY.env, "A": "broken"}))
    line = next(line for line in await shop.printed(broken) if "StatefulSet/telemetry" in line)
    assert line.startswith(f"change   StatefulSet/telemetry, {STUCK}, {BACK}: spec.template.spec.containers[telemetry]")
    with pytest.raises(PermanentError, match="`telemetry` was rolled back"):
        await shop.run(broken)
    deleted = [key(each) for verb, each in shop.cluster.asked if verb == "delete"]
    assert deleted == ["Pod/telemetry-0"]
    await shop.run(desired(TELEMETRY))
    assert changing(await shop.printed(desired(TELEMETRY))) == []


async def test_pods_of_what_another_step_declares_are_waited_for_and_not_deleted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "_STUCK", 0.0)
    await shop.run(desired(TELEMETRY))
    shop.cluster.failing = "broken"
    there = copy.deepcopy(shop.cluster.there["StatefulSet/telemetry"])
    shop.edit("StatefulSet/telemetry", "spec", "template", "metadata", "annotations", to={"a": "broken"})
    shop.cluster.there["StatefulSet/telemetry"] |= {"spec": there["spec"]}
    shop.cluster.settle()
    shop.cluster.asked.clear()
    executor = Executor(shop.session(), cast("Stages", None))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await executor.need("telemetry", discard)
    assert shop.cluster.asked == []


ASKS: Mapping[str, set[str]] = {
    "create": {"apply"},
    "change": {"apply"},
    "replace": {"delete", "apply"},
    "remove": {"delete"},
    "scale": {"copies"},
    "load": {"load"},
}
"""Verb -> what it asks of the cluster in any case, once each."""
MAY_ASK: Mapping[str, set[str]] = {
    "create": {"copies"},
    "change": {"patch", "copies"},
    "replace": {"copies"},
    "restart": {"patch", "copies"},
    "scale": {"apply", "patch"},
}
"""Verb -> what it may ask besides, once: that what someone added goes, and the number of copies."""
KEEPERS = {"ReplicaSet", "ControllerRevision"}
OFTEN = 99
"""Calls that an action makes for each pod, or each revision."""
Calls = Counter[tuple[str, str]]


def called(shop: Shop) -> Calls:
    """Return what was asked of the cluster and done with images, by the names that a plan has for it."""
    images = (
        (verb, f"image {name}" if verb != "remove older" else f"older images of {name}") for verb, name in shop.provided
    )
    return Counter([*(_asked(verb, each) for verb, each in shop.cluster.asked), *images])


def _asked(verb: str, each: Object) -> tuple[str, str]:
    name = plain(key(each).replace("-0a1b2c", "") if each["kind"] in OF_THE_CLUSTER else key(each))
    if each["kind"] == "Pod" or each["kind"] in KEEPERS:
        maker = f"{each['metadata']['ownerReferences'][0]['kind']}/{each['metadata']['labels'][OWNER]}"
        return ("delete pods" if each["kind"] == "Pod" else "record", maker)
    return ("copies" if verb == "apply" and each.get("spec", {}).keys() == {"replicas"} else verb), name


def plain(name: str) -> str:
    return re.sub(r"(?<=^Job/)(.*)-[0-9a-f]{8}$", r"\1", name)


def asks(action: Action) -> Calls:
    """Return what an action asks for in any case."""
    name = plain(action.name)
    match action.verb:
        case "build":
            return Counter([("build", name), (action.then.partition(" ")[0], name)])
        case "remove" if name.startswith("older images"):
            return Counter([("remove older", name)])
        case "restart":
            return Counter([("apply" if action.subject.starts else "delete pods", name)])
        case verb:
            return Counter((call, name) for call in ASKS.get(verb, ()))


def may_ask(action: Action) -> Calls:
    """Return all that an action may ask for."""
    name = plain(action.name)
    more = Counter((call, name) for call in MAY_ASK.get(action.verb, ()))
    if name.startswith(("Deployment/", "StatefulSet/")) and action.verb not in {"keep", "remove"}:
        more["record", name] = OFTEN  # that what it started got ready
    if STUCK in action.then or (action.verb == "restart" and not action.subject.starts):
        more["delete pods", name] = OFTEN
    more["apply", name] += BACK in action.then
    return asks(action) + more


STATES = st.sampled_from(["as it is", "gone", "edited", "labelled", "unlabelled", "leaving", "again"])
RUNNING_STATES = st.sampled_from(["gone", "edited", "template", "broken", "unlabelled", "zero", "leaving"])
EDITS: Mapping[str, tuple[Any, ...]] = {
    "Deployment": ("spec", "paused", True),
    "StatefulSet": ("spec", "minReadySeconds", 9),
    "NetworkPolicy": ("spec", "policyTypes", ["Ingress"]),
    "Service": ("spec", "sessionAffinity", "ClientIP"),
    "PodDisruptionBudget": ("spec", "maxUnavailable", 5),
    "ServiceAccount": ("automountServiceAccountToken", True),
    "PriorityClass": ("value", 7),
    "HorizontalPodAutoscaler": ("spec", "maxReplicas", 77),
    "ResourceQuota": ("spec", "hard", {}),
    "Secret": ("data", {"value": "eA=="}),
    "ConfigMap": ("data", {"more": "x"}),
    "Namespace": ("metadata", "labels", "pod-security.kubernetes.io/enforce", "privileged"),
}


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_from_any_state_what_is_executed_was_printed_and_the_next_comparison_keeps_all(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    asyncio.run(asyncio.wait_for(_any_state(Shop(tmp_path_factory.mktemp("shop")), data), 60))


async def _any_state(shop: Shop, data: st.DataObject) -> None:
    def some() -> Desired:
        workloads = [GATEWAY, replace(USERS, replicas=data.draw(st.integers(1, 3), label="copies"))]
        workloads += [TELEMETRY] * data.draw(st.booleans(), label="telemetry")
        if data.draw(st.booleans(), label="variable"):
            workloads[1] = replace(workloads[1], env={**workloads[1].env, "COLOUR": "blue"})
        shop.source = data.draw(st.sampled_from(["1", "2"]), label="source")
        return desired(*workloads, digest=shop.source)

    if data.draw(st.booleans(), label="registry"):
        shop.options["registry"] = "registry.example/team"
    if data.draw(st.booleans(), label="ran before"):
        await shop.run(some())
        half = data.draw(st.integers(0, 12), label="cut off")
        for name in list(shop.cluster.there)[-half:] if half else ():
            shop.cluster.drop(name)
        for name, each in list(shop.cluster.there.items()):
            if name in shop.cluster.there and each["kind"] in EDITS and data.draw(st.integers(0, 4), label=name) == 0:
                states = RUNNING_STATES if each["kind"] in {"Deployment", "StatefulSet"} else STATES
                await _disturb(shop, name, data.draw(states, label=f"{name} is"))
        if data.draw(st.booleans(), label="surplus"):
            labels = {OURS: "0a1b2c", OWNER: "users"}
            shop.cluster.put(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "users-old", "labels": labels}}
            )
        shop.cluster.settle()
    wanted = some()
    printed = await shop.plan(wanted)
    shop.cluster.asked.clear()
    shop.provided.clear()
    done = await shop.run(wanted)
    assert changing([str(each) for each in await shop.plan(wanted)]) == []
    _require_printed(shop, printed, done)


async def _disturb(shop: Shop, name: str, how: str) -> None:
    each = shop.cluster.there[name]
    match how:
        case "gone":
            shop.cluster.drop(name)
        case "edited":
            *path, value = EDITS[each["kind"]]
            shop.edit(name, *path, to=value)
        case "template":
            shop.edit(name, "spec", "template", "spec", "hostPID", to=True)
        case "broken":
            shop.cluster.failing = "broken"
            shop.edit(name, "spec", "template", "spec", "hostname", to="broken")
        case "zero":
            shop.edit(name, "spec", "replicas", to=0)
        case "again":  # by hand
            shop.cluster.drop(name, cascade=False)
            shop.cluster.put(copy.deepcopy(each))
        case "unlabelled":
            each["metadata"]["labels"].pop(OURS, None)
        case "labelled":
            each["metadata"]["labels"]["team"] = "a"
        case "leaving":
            each["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z"


def _require_printed(shop: Shop, printed: tuple[Action, ...], done: list[str]) -> None:
    """What was asked is what was printed, verb by verb; what was printed with a condition may stay undone."""
    made = called(shop)
    assert made - sum((may_ask(each) for each in printed), Counter()) == Counter(), done
    assert sum((asks(each) for each in printed if not each.when), Counter()) - made == Counter(), done


REQUIRED = re.compile(
    r"apiVersion|kind|status.*|spec|.*\.(selector|matchLabels|scaleTargetRef|roleRef)(\..*)?|data(\..*)?|stringData.*"
    r"|metadata(\.(name|namespace|uid|creationTimestamp|generation|ownerReferences.*))?"
    r"|spec\.template(\.(metadata(\.labels.*)?|spec(\.(containers|volumes)(\.\d+)?)?))?"
    r"|.*\.containers\.\d+\.(name|image)|.*\.ports\.\d+(\.(port|containerPort|protocol))?|spec\.(minAvailable|replicas).*"
)
"""Fields that the API does not let anybody take away, or in which something else is meant by that."""


def optional_fields(each: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the way to each field that someone may take out of an object."""
    items: Iterable[tuple[str | int, object]] = each.items() if isinstance(each, dict) else ()
    items = enumerate(each) if isinstance(each, list) else items
    for name, value in items:
        way = (*at, name)
        if isinstance(name, str) and not REQUIRED.fullmatch(".".join(map(str, way))):
            yield way
        yield from optional_fields(value, way)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_field_someone_takes_away_is_named_and_put_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    asyncio.run(asyncio.wait_for(_taken_away(Shop(tmp_path_factory.mktemp("shop")), data), 60))


async def _taken_away(shop: Shop, data: st.DataObject) -> None:
    how = Production((HELLO,), (), ("hello",), at_least=2, at_most=9, cpu_target=70, automatic=True)
    wanted = desired(GATEWAY, USERS, TELEMETRY, HELLO, production=how)
    await shop.run(wanted)
    names = [name for name, each in shop.cluster.there.items() if each["kind"] in EDITS]
    name = data.draw(st.sampled_from(names), label="object")
    way = data.draw(st.sampled_from(sorted(optional_fields(shop.cluster.there[name]), key=str)), label="field")
    shop.edit(name, *way, to=None)
    printed = await shop.plan(wanted)
    shop.cluster.asked.clear()
    shop.provided.clear()
    done = await shop.run(wanted)
    _require_printed(shop, printed, done)
    assert changing([str(each) for each in await shop.plan(wanted)]) == []
