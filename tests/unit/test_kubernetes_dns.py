"""How many questions it takes to find a name inside of a cluster: one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import pytest
from connectivity import CONTROLLERS
from manifest_cases import objects, release, secrets_for

from stepflow.targets.kubernetes.manifests.model import Object
from stepflow.targets.kubernetes.manifests.secrets import secret_objects
from stepflow.workload import Declaration

NAMED = re.compile(r"://(?:[^@/\s\"]*@)?([a-z][a-z0-9.-]*):\d+")


@pytest.fixture
def found(reference: Mapping[int, Declaration]) -> list[Object]:
    """Return all objects of the reference workflow, Secrets too."""
    steps = reference.values()
    known = release(*steps)
    secrets = {each["metadata"]["name"]: each for step in steps for each in _secrets(known, step)}
    return [*objects(known, *steps), *secrets.values()]


def _secrets(known: object, step: Declaration) -> list[Object]:
    return secret_objects(known, secrets_for(known, step), lambda name: f"<{name}>")  # type: ignore[arg-type]


def clusters(value: object) -> Iterator[Object]:
    """Yield the clusters of an Envoy configuration that are found by name."""
    if isinstance(value, dict):
        if value.get("type") in {"STRICT_DNS", "LOGICAL_DNS"}:
            yield value
        for each in value.values():
            yield from clusters(each)
    elif isinstance(value, list):
        for each in value:
            yield from clusters(each)


def test_every_name_is_answered_by_the_first_domain_of_the_search_path(found: list[Object]) -> None:
    """It is a Service of the namespace, or a pod that a headless one names, with fewer dots than `ndots`."""
    services = {each["metadata"]["name"] for each in found if each["kind"] == "Service"}
    pods = {
        f"{each['metadata']['name']}-{number}.{each['spec']['serviceName']}"
        for each in found
        if each["kind"] == "StatefulSet"
        for number in range(each["spec"]["replicas"])
    }
    names = set(NAMED.findall(json.dumps(found))) - {"localhost"}
    assert {"nats", "postgres", "valkey", "nats-0.nats-pods", "gateway"} <= names
    assert names <= services | pods
    for each in (each for each in found if each["kind"] in CONTROLLERS):
        (option,) = each["spec"]["template"]["spec"]["dnsConfig"]["options"]
        assert option["name"] == "ndots"
        assert max(name.count(".") for name in names) < int(option["value"])


def test_envoy_asks_for_an_ipv4_address_first_and_for_another_only_where_there_is_none(found: list[Object]) -> None:
    """By default it asks for AAAA in every domain of the search path before it asks for A."""
    texts = [text for each in found if each["kind"] == "ConfigMap" for text in each["data"].values()]
    by_name = [each for text in texts if text.startswith("{") for each in clusters(json.loads(text))]
    assert [each["name"] for each in by_name] == ["control-plane"]
    assert {each["dns_lookup_family"] for each in by_name} == {"V4_PREFERRED"}
