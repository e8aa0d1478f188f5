"""How an object would change is said field by field, and what is closed stays closed."""

from __future__ import annotations

import copy
from typing import Any

from stepflow.targets.kubernetes.differences import differences

Object = dict[str, Any]


def deployment(image: str = "orders:1", **more: Any) -> Object:  # noqa: ANN401 - JSON
    """Return a Deployment as the cluster does."""
    container = {"name": "orders", "image": image, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "orders", "uid": "u", "resourceVersion": "7", "generation": 3, **more},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [container]}}},
        "status": {"readyReplicas": 3},
    }


def changed(kind: str, before: Object, after: Object) -> tuple[str, ...]:
    whole = [{"kind": kind, "metadata": {"name": "x"}, **each} for each in (before, after)]
    return differences(whole[0], whole[1])


def test_changed_field_is_named_with_its_path_and_both_values() -> None:
    assert differences(deployment(), deployment("orders:2")) == (
        "Deployment `orders`: spec.template.spec.containers[orders].image orders:1 -> orders:2",
    )


def test_items_with_names_go_by_them_wherever_they_stand() -> None:
    after = deployment()
    env = after["spec"]["template"]["spec"]["containers"][0]["env"]
    env[:] = [{"name": "C", "value": "3"}, env[1]]
    place = "Deployment `orders`: spec.template.spec.containers[orders].env"
    assert differences(deployment(), after) == (
        f'{place}[A] no longer set, was {{"name": "A", "value": "1"}}',
        f'{place}[C] set to {{"name": "C", "value": "3"}}',
    )


def test_items_without_names_go_by_their_place() -> None:
    assert changed("NetworkPolicy", {"spec": {"a": [1, 2]}}, {"spec": {"a": [1, 3, 4]}}) == (
        "NetworkPolicy `x`: spec.a[1] 2 -> 3",
        "NetworkPolicy `x`: spec.a[2] set to 4",
    )


def test_what_the_cluster_keeps_and_what_stepflow_notes_is_no_change() -> None:
    after = deployment(
        uid="v", managedFields=[{}], annotations={"stepflow.dev/meaning": "1", "stepflow.dev/digest": "2"}
    )
    after["metadata"] |= {"resourceVersion": "8", "generation": 4}
    after["status"] = {}
    before = deployment(annotations={"stepflow.dev/meaning": "0"})
    assert differences(before, after) == ()


def test_new_object_is_created() -> None:
    assert differences(None, deployment()) == ("Deployment `orders`: create",)


def test_no_value_of_a_secret_or_a_configuration_is_shown() -> None:
    before = {"data": {"kept": "a2VwdA==", "other": "b2xk", "gone": "Z29uZQ=="}, "type": "Opaque"}
    after = {"data": {"kept": "a2VwdA==", "other": "bmV3", "more": "bW9yZQ=="}, "type": "Opaque"}
    for kind in ("Secret", "ConfigMap"):
        assert changed(kind, before, after) == (
            f"{kind} `x`: data.gone removed",
            f"{kind} `x`: data.more added",
            f"{kind} `x`: data.other changes",
        )
    whole = changed("Secret", {}, {"stringData": {"password": "hunter2"}})
    assert whole == ('Secret `x`: stringData set to {"password": "..."}',)


def test_long_values_are_cut_and_many_fields_counted() -> None:
    before, after = deployment(), copy.deepcopy(deployment())
    after["spec"] |= {f"field{number:02}": number for number in range(20)} | {"a": "x" * 100}
    lines = differences(before, after)
    assert lines[0] == f"Deployment `orders`: spec.a set to {'x' * 57}..."
    assert lines[-1] == "Deployment `orders`: and 9 more fields"
    assert len(lines) == 13


def test_name_that_is_no_plain_word_stands_in_brackets() -> None:
    assert changed(
        "Service", {"metadata": {"name": "x", "labels": {}}}, {"metadata": {"name": "x", "labels": {"a.b/c": "d"}}}
    ) == ("Service `x`: metadata.labels[a.b/c] set to d",)
