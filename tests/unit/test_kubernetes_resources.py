"""What pods request: what was measured of them, and what the machine is asked to have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import floor
from pathlib import Path
from statistics import fmean

import pytest
from connectivity import CONTROLLERS
from manifest_cases import objects, release

from stepflow.targets.kubernetes.doctor import CPU, MEMORY
from stepflow.targets.kubernetes.manifests.model import Object
from stepflow.targets.kubernetes.manifests.resources import Size, mebibytes, millicores, resources
from stepflow.workload import Declaration, Production

COSTS = json.loads((Path(__file__).parents[2] / "bench/scale/costs.json").read_text(encoding="utf-8"))
FULL = 29 / 0.7
"""Orders a second that one node of 8 cores takes (docs/scale.md), each with five reads and 0.2 sign-ins."""
SIZES: Mapping[Size, tuple[str, ...]] = {
    "service": (
        "order-service",
        "user-service",
        "notification-service",
        "payment-provider",
        "security-service",
        "service-discovery",
    ),
    "store": ("monitoring-observability", "mail-sink", "data-pipeline"),
    "envoy": ("gateway",),
    "nats": ("nats",),
    "postgres": ("postgres",),
    "valkey": ("valkey",),
}
SCALED = (*SIZES["service"], *SIZES["envoy"])
AT_LEAST = 3  # copies


def full(name: str) -> float:
    """Return the cores that one copy uses when the platform is full."""
    if name == "data-pipeline":  # by its interval, not by orders: what it loads, and at most a refresh a second
        loaded = COSTS["counts"]["events loaded"] * COSTS["warehouse"]["load"]
        return float(FULL * loaded + COSTS["warehouse"]["refresh at 100000 events"])
    order = COSTS["cpu_order"][name] + 5 * COSTS["cpu_read"][name] + 0.2 * COSTS["cpu_sign_in"][name]
    return float(FULL * order / (AT_LEAST if name in SCALED else 1))


@pytest.fixture
def found(reference: Mapping[int, Declaration]) -> list[Object]:
    """Return the objects of the reference workflow, run as its last step asks for: three copies of what scales."""
    workloads = tuple(each for step in reference.values() for each in step.workloads)
    servers = tuple(dict.fromkeys(each for step in reference.values() for each in step.servers))
    scaled = tuple(each.name for each in workloads if not each.data)
    how = Declaration(production=Production(workloads, servers, scaled, AT_LEAST, 10, 70, automatic=True))
    return objects(release(*reference.values()), *reference.values(), how)


def requested(pods: Iterable[Object], resource: str) -> int:
    """Return the millicores or mebibytes that pods request, each controller's as often as it has copies."""
    read = millicores if resource == "cpu" else mebibytes
    return sum(
        int(pod["spec"].get("replicas", 1)) * read(container["resources"]["requests"][resource])
        for pod in pods
        for container in pod["spec"]["template"]["spec"]["containers"]
    )


@pytest.mark.parametrize("size", SIZES)
def test_request_is_what_its_pods_use_at_rest_and_a_tenth_of_what_they_use_when_the_platform_is_full(
    size: Size,
) -> None:
    """On average over those of one size; and no more than two and a half times that, for which nodes would idle."""
    needed = fmean(COSTS["cpu_idle"][name] + full(name) / 10 for name in SIZES[size]) * 1000
    request = millicores(resources(size)["requests"]["cpu"])
    assert needed <= request <= 2.5 * needed


@pytest.mark.parametrize("size", SIZES)
def test_limit_leaves_a_copy_what_it_uses_when_the_platform_is_full(size: Size) -> None:
    most = max(full(name) for name in SIZES[size]) * 1000
    assert most <= millicores(resources(size)["limits"]["cpu"])


def test_autoscaler_adds_copies_before_they_use_more_than_they_request(found: list[Object]) -> None:
    """What the scheduler keeps free for the copies is what they run at: a node is not filled several times over."""
    scalers = [each["spec"] for each in found if each["kind"] == "HorizontalPodAutoscaler"]
    assert scalers
    for spec in scalers:
        (metric,) = spec["metrics"]
        assert metric["resource"]["target"]["type"] == "Utilization"
        assert metric["resource"]["target"]["averageUtilization"] <= 100


def test_quota_takes_all_pods_at_their_most(found: list[Object]) -> None:
    """An autoscaler at its end is not refused by the platform's own quota."""
    most = {i["metadata"]["name"]: i["spec"]["maxReplicas"] for i in found if i["kind"] == "HorizontalPodAutoscaler"}
    (hard,) = (each["spec"]["hard"] for each in found if each["kind"] == "ResourceQuota")
    full = [
        {
            **each,
            "spec": {**each["spec"], "replicas": most.get(each["metadata"]["name"], each["spec"].get("replicas", 1))},
        }
        for each in found
        if each["kind"] in CONTROLLERS
    ]
    assert requested(full, "cpu") <= millicores(hard["requests.cpu"])
    assert requested(full, "memory") <= mebibytes(hard["requests.memory"])


def test_doctor_asks_for_what_the_reference_workflow_requests(found: list[Object]) -> None:
    """Three copies of what scales, and one migration at a time beside them."""
    least = {
        each["metadata"]["name"]: each["spec"]["minReplicas"]
        for each in found
        if each["kind"] == "HorizontalPodAutoscaler"
    }
    pods = [each for each in found if each["kind"] in CONTROLLERS and each["kind"] != "Job"]
    scaled = [
        {**each, "spec": {**each["spec"], "replicas": least.get(each["metadata"]["name"], each["spec"]["replicas"])}}
        for each in pods
    ]
    job = resources("job")["requests"]
    assert round((requested(scaled, "cpu") + millicores(job["cpu"])) / 1000, 1) == CPU
    assert floor((requested(scaled, "memory") + mebibytes(job["memory"])) / 1024) + 1 == MEMORY / 1024**3
