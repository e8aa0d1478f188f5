"""The reference workflow in a real cluster: it is run, changed, broken, drained and taken down, by the command line.

The tests of this file are one story about one platform, in their order; each leaves the platform whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from docker_shop import Shop, none_is_lost, one_mail_each, ordering, steadily_asked
from patience import eventually
from workplace import Json

if TYPE_CHECKING:
    from cluster_fixtures import Cluster
    from kubernetes_directory import Directory

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

WORKFLOW = Path(__file__).parents[2] / "examples/microservices/workflow.md"
SECRET_KINDS = (("v1", "Secret"),)
LEAST = 3  # copies of what scales


@dataclass(frozen=True)
class Story:
    """The platform, and what its first run said."""

    at: Directory
    cluster: Cluster
    events: tuple[Json, ...]


@pytest.fixture(scope="module")
def story(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    from kubernetes_directory import directory  # noqa: PLC0415 - it loads the client, a second of every run of tests

    document, root = WORKFLOW.read_text(encoding="utf-8"), tmp_path_factory.mktemp("reference") / "somewhere"
    with directory(root, cluster, document) as at:
        lines = at.run("--json").splitlines()
        yield Story(at, cluster, tuple(json.loads(line) for line in lines if line.startswith("{")))


@pytest.fixture
def at(story: Story) -> Directory:
    return story.at


def test_all_steps_are_done_and_every_outcome_is_verified_with_evidence(story: Story) -> None:
    finished = story.events[-1]
    assert (finished["event"], finished["status"]) == ("run_finished", "succeeded")
    assert sorted(each["step"] for each in story.events if each.get("outcome") == "done") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {each["verdict"] for each in finished["outcomes"]} == {"verified"}
    assert [each["text"] for each in finished["outcomes"] if not each["evidence"]] == []


def test_the_platform_is_made_ready_for_production(at: Directory) -> None:
    from kubernetes_directory import INSIDE  # noqa: PLC0415 - as above

    namespace = at.core.read_namespace(at.namespace)
    assert namespace.metadata.labels["pod-security.kubernetes.io/enforce"] == "restricted"
    found = at.objects(INSIDE, f"stepflow.dev/platform={at.id}")
    kinds = {each["kind"] for each in found}
    assert {"NetworkPolicy", "PodDisruptionBudget", "HorizontalPodAutoscaler", "ResourceQuota", "LimitRange"} <= kinds
    scaled = {each["metadata"]["name"] for each in found if each["kind"] == "HorizontalPodAutoscaler"}
    assert {"gateway", "order-service", "user-service"} <= scaled
    eventually(lambda: all(len(at.pods(name)) >= LEAST for name in scaled), within=120)
    eventually(lambda: at.not_ready() == {}, within=120)
    assert {name: pod.status.container_statuses[0].restart_count for name, pod in at.pods().items()} == dict.fromkeys(
        at.pods(), 0
    )
    assert all(pod.spec.automount_service_account_token is False for pod in at.pods().values())


def test_commands_that_look_work_as_on_every_target(at: Directory) -> None:
    services = at.services()
    assert set(services) >= {"gateway", "order-service", "postgres", "nats", "valkey"}
    shown = {pod for each in services.values() for pod in each["pods"]}
    assert shown == set(at.pods())
    assert "database system is ready" in at.type("logs", "postgres", "-n", "1000")
    assert "order-service-" in at.type("logs", "order-service", "-n", "50")
    assert "error: there is no log of `nobody`" in at.type("logs", "nobody", expect=2)
    assert "succeeded" in at.type("runs")


def test_no_secret_is_anywhere_where_someone_may_look(story: Story) -> None:
    from kubernetes_directory import INSIDE  # noqa: PLC0415 - as above

    at = story.at
    texts = [path.read_text().strip() for path in (at.state / "secrets").iterdir() if path.is_file()]
    values = {re.sub(r"^\w+://[^:]*:([^@]*)@.*$", r"\1", text) for text in texts}
    assert len(values) >= 8

    def told(what: str, text: str) -> None:
        assert [value for value in values if value in text] == [], what

    told("objects", json.dumps(at.objects((*INSIDE, ("v1", "Event"))), default=str))
    for name in at.pods():
        told(f"log of {name}", at.core.read_namespaced_pod_log(name, at.namespace))
    told("events of the run", json.dumps(story.events))
    for path in at.root.rglob("*"):
        if path.is_file() and at.state / "secrets" not in path.parents:
            told(str(path), path.read_bytes().decode(errors="replace"))


def test_second_run_changes_nothing_in_the_cluster(at: Directory) -> None:
    generations, pods = at.generations(), at.ids()
    eventually(lambda: "nothing to do" in at.type("plan", "workflow.md", "--target", "kubernetes"), within=60)
    events = [json.loads(line) for line in at.run("--json").splitlines() if line.startswith("{")]
    assert events[-1]["status"] == "succeeded"
    assert at.generations() == generations
    assert at.ids().items() >= pods.items()


def test_changed_service_is_rolled_alone_and_no_one_who_uses_it_notices(at: Directory, shop: Shop) -> None:
    generations, before = at.generations(), at.ids("user-service")
    source = at.root / at.state.name / "user-service/src/service/account.py"
    source.write_text(f"{source.read_text()}\n# mine\n")
    customers = [shop.customer(url := at.gateway()) for _ in range(4)]
    with steadily_asked(url, customers, "/api/users/me") as load:
        said = at.run()
    assert (load.bad, load.good > 100) == ([], True)
    assert "step 2 (User Management Service): rerun: edited by you: user-service/src/service/account.py\n" in said
    now = at.generations()
    assert {name for name in generations if now[name] != generations[name]} == {"user-service"}
    assert not set(before.values()) & set(at.ids("user-service").values())


def test_rollout_that_does_not_become_ready_is_rolled_back_and_said_and_resumed(at: Directory, shop: Shop) -> None:
    customer, before = shop.customer(at.gateway()), at.ids("order-service")
    source = at.root / at.state.name / "order-service/src/service/__main__.py"
    good = source.read_text()
    source.write_text('raise SystemExit("the moon is in the wrong phase")\n')
    with ordering(customer) as accepted:
        said = at.run(expect=1)
        had = len(accepted)
        eventually(lambda: len(accepted) > had, within=60)
    assert "the moon is in the wrong phase" in said
    assert "rolled back" in said
    assert before.items() <= at.ids("order-service").items()
    none_is_lost(customer, accepted)

    source.write_text(good)
    assert "order-service" in at.type("resume")
    eventually(lambda: at.not_ready() == {}, within=120)


def test_each_pod_that_is_killed_comes_back_and_no_order_is_lost_and_no_mail_sent_twice(
    at: Directory, story: Story, shop: Shop
) -> None:
    customer, admin = shop.customer(at.gateway()), shop.administrator(at)
    names = sorted(at.services()) if story.cluster.keeps else sorted(set(at.services()) - {"postgres", "valkey"})
    with ordering(customer) as accepted:
        for name in names:
            killed = at.ids(name)
            if not killed:
                continue  # rules have no pods
            pod, had = next(iter(killed)), len(accepted)
            at.kill(pod)
            eventually(lambda it=name, was=killed: _whole_again(at, it, was), within=180)
            eventually(lambda was=had: len(accepted) > was, within=120)
    eventually(lambda: at.not_ready() == {}, within=180)
    none_is_lost(customer, accepted)
    one_mail_each(customer, admin, accepted)


def _whole_again(at: Directory, component: str, before: dict[str, str]) -> bool:
    pods = at.pods(component)
    ready = [pod for pod in pods.values() if all(each.ready for each in pod.status.container_statuses or ())]
    return len(ready) >= len(before) and {pod.metadata.uid for pod in ready} != set(before.values())


def test_drained_node_is_left_by_its_pods_and_no_order_is_lost(at: Directory, story: Story, shop: Shop) -> None:
    nodes = story.cluster.nodes()
    if len(nodes) < 2:
        pytest.skip(f"the cluster has one node for pods, {nodes}: there is nowhere to go")
    if not story.cluster.keeps:
        pytest.skip("the cluster has no volumes that outlive a pod: a drain would take the data with it")
    customer, admin = shop.customer(at.gateway()), shop.administrator(at)
    node = next(node for node in nodes if not any(_on(at, "postgres", node)))
    with ordering(customer) as accepted:
        at.cordon(node, closed=True)
        try:
            movable = [pod for pod, each in at.pods().items() if each.spec.node_name == node and not _bound(each)]
            assert movable
            for pod in movable:
                eventually(lambda it=pod: at.evict(it), within=180, every=1)
            eventually(lambda: not set(movable) & set(at.pods()), within=180)
            had = len(accepted)
            eventually(lambda: len(accepted) > had, within=120)
        finally:
            at.cordon(node, closed=False)
    eventually(lambda: at.not_ready() == {}, within=180)
    none_is_lost(customer, accepted)
    one_mail_each(customer, admin, accepted)


def _on(at: Directory, component: str, node: str) -> Iterator[bool]:
    return (pod.spec.node_name == node for pod in at.pods(component).values())


def _bound(pod: object) -> bool:
    """Whether a pod has a volume, which may be the node's own: it could not go elsewhere."""
    return any(volume.persistent_volume_claim for volume in pod.spec.volumes)  # type: ignore[attr-defined]


def test_down_keeps_the_data_and_down_with_data_leaves_nothing(story: Story, shop: Shop) -> None:
    at = story.at
    customer = shop.customer(at.gateway())
    at.close()
    said = at.type("down")
    assert ".stepflow/" in said
    assert at.left(data=False) == []
    at.run()
    if story.cluster.keeps:
        again = shop.customer(at.gateway())
        again.sign_in(customer.email, customer.password)
    at.close()
    at.type("down", "--data")
    assert at.left() == []
    assert list((at.root / ".stepflow").iterdir()) == []
