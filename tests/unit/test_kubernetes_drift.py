"""What was changed in an object since it was applied is named field by field; what the cluster added is not."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from exchanges import EXCHANGES
from manifest_cases import PRODUCTION, SHOP, one
from onenode.defaults import with_defaults
from record import RECORDED

from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.converge.compare import differing, stamped
from stepflow.targets.kubernetes.manifests.drift import cleared, drift, merge_patch


def applied(wanted: Object) -> Object:
    """Return an object as a cluster has it after it was applied."""
    return with_defaults(copy.deepcopy(wanted))


def recorded() -> Iterator[Any]:
    """Yield what was applied to a real cluster, and what it had then."""
    for name, asked in EXCHANGES.items():
        answers = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
        for number, (ask, answer) in enumerate(zip(asked, answers, strict=True)):
            if ask.method == "PATCH" and ask.type.startswith("application/apply") and answer["status"] in {200, 201}:
                yield pytest.param(ask.body, answer["body"], id=f"{name}-{number}")


@pytest.mark.parametrize(("asked", "answer"), tuple(recorded()))
def test_what_a_real_cluster_made_of_an_object_is_not_drift(asked: Object, answer: Object) -> None:
    assert drift(asked, answer) == ()


def test_network_policy_that_was_opened_to_all_traffic_is_named() -> None:
    wanted = one(SHOP, "NetworkPolicy", "postgres")
    there = applied(wanted)
    del there["spec"]["ingress"][0]["from"]
    peer = '[{"podSelector": {"matchLabels": {"stepflow.dev/uses-post...'
    assert drift(wanted, there) == (f"spec.ingress[0].from removed: {peer}",)
    there = applied(wanted)
    there["spec"]["ingress"].insert(0, {})
    assert drift(wanted, there) == ("spec.ingress[0] added: {}",)
    there = applied(wanted)
    there["spec"]["ingress"][0]["from"].append({"namespaceSelector": {}})
    assert drift(wanted, there) == ('spec.ingress[0].from[1] added: {"namespaceSelector": {}}',)
    there = applied(wanted)
    there["spec"]["ingress"][0]["from"][0]["namespaceSelector"] = {}
    assert drift(wanted, there) == ("spec.ingress[0].from[0].namespaceSelector added: {}",)


def test_changed_memory_limit_and_greatest_number_of_copies_are_named() -> None:
    wanted = one(SHOP, "Deployment", "users")
    there = applied(wanted)
    there["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] = "4Gi"
    assert drift(wanted, there) == (
        "spec.template.spec.containers[users].resources.limits.memory changed: 768Mi -> 4Gi",
    )
    scaler = one(PRODUCTION, "HorizontalPodAutoscaler", "users")
    there = applied(scaler)
    there["spec"]["maxReplicas"] = 100
    assert drift(scaler, there) == ("spec.maxReplicas changed: 10 -> 100",)


def test_amounts_are_compared_as_amounts() -> None:
    """The API writes them in its own way."""
    quota = copy.deepcopy(one(PRODUCTION, "ResourceQuota", "platform"))
    quota["spec"]["hard"] |= {"requests.cpu": "2000m", "limits.memory": "3072Mi"}
    there = applied(quota)
    there["spec"]["hard"] |= {"requests.cpu": "2", "limits.memory": "3Gi"}
    assert drift(quota, there) == ()
    there["spec"]["hard"]["requests.cpu"] = "20"
    assert drift(quota, there) == ("spec.hard[requests.cpu] changed: 2000m -> 20",)


def test_an_autoscalers_copies_and_other_peoples_labels_are_not_drift() -> None:
    wanted = one(SHOP, "Deployment", "users")
    there = applied(wanted)
    there["spec"]["replicas"] = 7
    there["metadata"]["labels"]["team"] = "a"
    there["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "3"
    there["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = "now"
    assert drift(wanted, there) == ()
    del there["metadata"]["labels"]["app.kubernetes.io/name"]
    assert drift(wanted, there) == ("metadata.labels[app.kubernetes.io/name] removed: users",)


def test_what_a_secret_or_a_configuration_holds_is_never_shown() -> None:
    wanted: Object = {"kind": "Secret", "metadata": {"name": "x"}, "stringData": {"password": "hunter2", "b": "c"}}
    there: Object = {
        "kind": "Secret",
        "metadata": {"name": "x"},
        "type": "Opaque",
        "data": {"password": "aHVudGVyMw==", "more": "c2VjcmV0"},
    }
    assert drift(wanted, there) == ("data.b removed", "data.more added", "data.password changed")
    there["data"] = {"password": "aHVudGVyMg==", "b": "Yw=="}
    assert drift(wanted, there) == ()


def managed(there: Object, fields: Object, manager: str = "kubectl-edit") -> Object:
    """Return an object of which someone else manages fields, too."""
    ours = {"manager": "stepflow", "operation": "Apply", "fieldsV1": {"f:spec": {}}}
    status = {"manager": "kube-controller-manager", "subresource": "status", "fieldsV1": {"f:spec": {}}}
    theirs = {"manager": manager, "operation": "Update", "fieldsV1": fields}
    return {**there, "metadata": {**there["metadata"], "managedFields": [ours, status, theirs]}}


def test_field_without_a_manager_was_put_there_by_the_cluster() -> None:
    """A newer one has defaults that are not known here; what someone put there, someone manages."""
    wanted = one(SHOP, "Deployment", "users")
    there = applied(wanted)
    there["spec"]["paused"] = True
    there["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "DEBUG", "value": "1"})
    assert drift(wanted, managed(there, {})) == ()
    assert drift(wanted, managed(there, {"f:spec": {"f:paused": {}}})) == ("spec.paused added: true",)
    container = {"f:containers": {'k:{"name":"users"}': {".": {}, "f:env": {'k:{"name":"DEBUG"}': {".": {}}}}}}
    fields = {"f:spec": {"f:template": {"f:spec": container}}}
    assert drift(wanted, managed(there, fields)) == (
        'spec.template.spec.containers[users].env[DEBUG] added: {"name": "DEBUG", "value": "1"}',
    )


def test_list_that_is_one_field_is_someone_elses_with_all_that_is_in_it() -> None:
    wanted = one(SHOP, "NetworkPolicy", "postgres")
    there = applied(wanted)
    there["spec"]["ingress"].append({})
    assert drift(wanted, managed(there, {"f:spec": {"f:ingress": {}}})) == ("spec.ingress[2] added: {}",)


def test_what_someone_added_can_be_removed_by_a_merge_patch_and_nothing_else_is() -> None:
    """Applying an object leaves what others manage."""
    wanted = one(SHOP, "Deployment", "users")
    before = applied(wanted)
    there = applied(wanted)
    there["spec"]["paused"] = True
    there["spec"]["template"]["spec"]["hostNetwork"] = True
    there["spec"]["template"]["spec"]["volumes"].insert(0, {"name": "x", "hostPath": {"path": "/"}})
    there["metadata"]["labels"]["team"] = "a"
    assert cleared(wanted, there) == {**before, "metadata": there["metadata"]}
    volumes = before["spec"]["template"]["spec"]["volumes"]
    assert merge_patch(there, cleared(wanted, there)) == {
        "spec": {"paused": None, "template": {"spec": {"hostNetwork": None, "volumes": volumes}}}
    }
    assert cleared(wanted, before) == before


def test_object_is_the_same_until_it_drifts() -> None:
    wanted = stamped(one(SHOP, "NetworkPolicy", "postgres"), "salt")
    there = applied(wanted)
    assert not differing(wanted, there)
    there["spec"]["ingress"][0]["from"].append({"namespaceSelector": {}})
    assert differing(wanted, there)
