"""What is applied, what is kept, what is removed and what a rollback goes back to."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from stepflow.targets.kubernetes.api.kinds import Object, path_of, plural
from stepflow.targets.kubernetes.converge.compare import differing, leaving, stamped
from stepflow.targets.kubernetes.converge.reconcile import unwanted
from stepflow.targets.kubernetes.converge.rollback import PROVEN, earlier, gone_back
from stepflow.targets.kubernetes.manifests.names import DIGEST, MEANING, OWNER
from stepflow.targets.kubernetes.state.observed import state_of
from stepflow.targets.kubernetes.state.progress import REVISION, rollout_status
from stepflow.targets.kubernetes.state.secrets import password
from stepflow.targets.kubernetes.state.snapshot import ClusterState


def thing(kind: str, name: str, owner: str = "orders", **more: Any) -> Object:  # noqa: ANN401 - whatever it has
    meta = {"name": name, "namespace": "shop", "labels": {OWNER: owner}}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, **more}


def deployment(**status: Any) -> Object:  # noqa: ANN401 - as above
    template = {"metadata": {"labels": {"app": "orders"}}, "spec": {"containers": [{"name": "main", "image": "a:1"}]}}
    made = thing("Deployment", "orders", spec={"replicas": 2, "template": template}, status=status)
    made["metadata"] |= {"uid": "d", "generation": 1, "annotations": {REVISION: "2"}}
    return made


def replica_set(revision: int, template: str, *, proven: bool) -> Object:
    kept = {"metadata": {"labels": {"app": "orders", "pod-template-hash": template}, "annotations": {DIGEST: template}}}
    made = thing("ReplicaSet", f"orders-{template}", spec={"template": kept | {"spec": {"containers": []}}})
    made["metadata"]["labels"]["pod-template-hash"] = template
    made["metadata"]["annotations"] = {REVISION: str(revision)} | ({PROVEN: str(revision)} if proven else {})
    made["metadata"]["ownerReferences"] = [{"uid": "d"}]
    return made


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("NetworkPolicy", "networkpolicies"),
        ("Ingress", "ingresses"),
        ("PriorityClass", "priorityclasses"),
        ("Gateway", "gateways"),
        ("HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    ],
)
def test_kinds_are_called_as_the_api_calls_them(kind: str, word: str) -> None:
    assert plural(kind) == word


def test_a_name_cannot_leave_its_place_in_a_path() -> None:
    assert path_of(thing("Service", "../../nodes")) == "/api/v1/namespaces/shop/services/..%2F..%2Fnodes"


def test_what_the_cluster_added_makes_no_difference_and_what_someone_changed_does() -> None:
    wanted = stamped(thing("Service", "orders", spec={"ports": [{"port": 80}], "selector": {"app": "x"}}), "salt")
    there = copy.deepcopy(wanted)
    there["spec"] |= {"clusterIP": "10.0.0.1"}
    there["spec"]["ports"][0]["protocol"] = "TCP"
    assert not differing(wanted, there)
    there["spec"]["ports"][0]["port"] = 81
    assert differing(wanted, there)


def test_another_meaning_and_an_object_that_is_going_are_not_the_same() -> None:
    wanted = stamped(thing("ConfigMap", "orders", data={"a": "1"}), "salt")
    there = copy.deepcopy(wanted)
    assert not differing(wanted, there)
    assert differing(stamped(thing("ConfigMap", "orders", data={"a": "2"}), "salt"), there)
    assert not leaving(there)
    there["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z"
    assert leaving(there)


def test_a_secret_is_compared_by_a_hash_that_no_one_can_guess_from() -> None:
    secret = thing("Secret", "key", stringData={"value": "guessable"})
    hashes = {stamped(secret, salt)["metadata"]["annotations"][MEANING] for salt in ("one", "two")}
    assert len(hashes) == 2
    there = stamped(secret, "one") | {"data": {"value": "Z3Vlc3NhYmxl"}}
    del there["stringData"]
    assert not differing(stamped(secret, "one"), there)
    there["data"] = {"value": "b3RoZXI="}
    assert differing(stamped(secret, "one"), there)


def test_the_number_of_copies_has_no_meaning_for_a_deployment() -> None:
    one, two = deployment(), deployment()
    two["spec"]["replicas"] = 5
    assert stamped(one, "")["metadata"]["annotations"] == stamped(two, "")["metadata"]["annotations"]
    assert "replicas" not in stamped(one, "")["spec"]
    assert one["spec"]["replicas"] == 2


def test_only_an_owners_own_objects_are_removed_and_never_its_data() -> None:
    names = ["orders", "orders-old"]
    kinds = ("ConfigMap", "PersistentVolumeClaim", "Secret", "Pod", "ReplicaSet")
    sight = ClusterState({kind: [thing(kind, name) for name in names] for kind in kinds})
    sight.objects["ConfigMap"].append(thing("ConfigMap", "users-old", "users"))
    found = [each["metadata"]["name"] for each in unwanted(sight, "orders", {"ConfigMap/orders"})]
    assert found == ["orders-old"]


def test_a_rollback_goes_to_the_newest_template_that_was_ready() -> None:
    kept = [replica_set(1, "aaa", proven=True), replica_set(2, "bbb", proven=True), replica_set(3, "ccc", proven=False)]
    found = earlier([*kept, replica_set(4, "ddd", proven=False)], "ddd")
    assert found is not None
    assert found["metadata"]["annotations"] == {DIGEST: "bbb"}


def test_a_first_version_has_nothing_to_go_back_to() -> None:
    assert earlier([replica_set(1, "aaa", proven=False)], "aaa") is None
    assert earlier([replica_set(1, "aaa", proven=True)], "aaa") is None


def test_a_version_that_was_ready_itself_is_not_at_fault_and_stays() -> None:
    kept = [replica_set(1, "aaa", proven=True), replica_set(2, "bbb", proven=True)]
    assert earlier(kept, "bbb") is None


def test_a_version_that_is_taken_up_again_has_to_prove_itself_again() -> None:
    kept = [replica_set(3, "aaa", proven=True), replica_set(2, "bbb", proven=True)]
    kept[0]["metadata"]["annotations"][PROVEN] = "1"
    found = earlier(kept, "aaa")
    assert found is not None
    assert found["metadata"]["annotations"] == {DIGEST: "bbb"}


def test_a_stateful_set_goes_back_to_its_revision() -> None:
    data = {"spec": {"template": {"$patch": "replace", "metadata": {"labels": {}}, "spec": {}}}}
    kept = thing("ControllerRevision", "orders-1", revision=1, data=data)
    kept["metadata"]["annotations"] = {PROVEN: "1"}
    found = earlier([kept], "orders-2")
    assert found is not None
    back = gone_back(deployment(), found)
    assert back["spec"]["template"] == {"metadata": {"labels": {}}, "spec": {}}


def test_who_went_back_says_what_it_is_made_from_and_means_nothing_that_is_wanted() -> None:
    template = earlier([replica_set(1, "aaa", proven=True)], "bbb")
    assert template is not None
    back = gone_back(deployment(), template)
    assert back["metadata"]["annotations"][DIGEST] == "aaa"
    assert back["metadata"]["annotations"][MEANING] == ""
    assert back["spec"]["template"]["metadata"]["labels"] == {"app": "orders"}
    assert "replicas" not in back["spec"]


def test_a_pod_that_was_just_killed_is_missed_before_its_controller_has_counted() -> None:
    counts = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    each, sets = deployment(**counts), [replica_set(2, "bbb", proven=True)]
    each["spec"]["replicas"] = 1
    sight = ClusterState({"Deployment": [each], "ReplicaSet": sets, "Pod": []})
    assert (rollout_status(each, sight).done, rollout_status(each, sight).ready) == (False, 0)


def test_a_rollout_is_done_when_only_the_newest_template_runs_and_all_of_it_answers() -> None:
    sets = [replica_set(1, "aaa", proven=True), replica_set(2, "bbb", proven=False)]
    pods = []
    for name, template in (("one", "bbb"), ("two", "bbb")):
        pod = thing("Pod", name, status={"conditions": [{"type": "Ready", "status": "True"}]})
        pod["metadata"]["labels"]["pod-template-hash"] = template
        pods.append(pod)
    counts = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    sight = ClusterState({"Deployment": [deployment(**counts)], "ReplicaSet": sets, "Pod": pods})
    now = rollout_status(deployment(**counts), sight)
    assert (now.done, now.ready, now.template) == (True, 2, "bbb")
    assert not rollout_status(deployment(**counts | {"availableReplicas": 1}), sight).done
    assert not rollout_status(deployment(**counts | {"observedGeneration": 0}), sight).seen
    pods[0]["metadata"]["labels"]["pod-template-hash"] = "aaa"
    assert not rollout_status(deployment(**counts), sight).done
    assert state_of(deployment(**counts), sight)[0] == "starting"


@pytest.mark.parametrize(
    ("shape", "text", "found"),
    [
        ("PASSWORD", "p", "p"),
        ("nats://u:PASSWORD@nats:4222", "nats://u:p-w@nats:4222", "p-w"),
        ("nats://u:PASSWORD@nats:4222", "nats://u:p-w@elsewhere:4222", ""),
        ("PASSWORD@nats", "@nats", ""),
    ],
)
def test_a_password_is_read_back_out_of_what_was_made_of_it(shape: str, text: str, found: str) -> None:
    assert password(shape, text) == found
