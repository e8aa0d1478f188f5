"""What keeps a platform answering while pods are replaced, nodes are drained, and zones are lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connectivity import CONTROLLERS
from manifest_cases import SHOP

from stepflow.targets.kubernetes.manifests.model import Object


def of_kind(*kinds: str) -> Iterator[tuple[str, Any]]:
    for item in SHOP:
        if item["kind"] in kinds:
            yield item["metadata"]["name"], item["spec"]


def picked(name: str) -> Object:
    return {"matchLabels": {"app.kubernetes.io/name": name}}


def test_no_copy_is_taken_away_before_another_one_has_been_ready_for_a_while() -> None:
    found = dict(of_kind("Deployment"))
    assert found.keys() == {"gateway", "users"}
    for name, spec in found.items():
        update = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        assert (spec["strategy"], spec["minReadySeconds"] > 0) == (update, True), name
    assert all(spec["minReadySeconds"] > 0 for _, spec in of_kind("StatefulSet"))


def test_the_three_probes_ask_different_questions() -> None:
    handlers = ("httpGet", "tcpSocket", "exec")
    for name, spec in of_kind("Deployment", "StatefulSet"):
        (only,) = spec["template"]["spec"]["containers"]
        asked = [{k: only[f"{probe}Probe"].get(k) for k in handlers} for probe in ("readiness", "liveness")]
        assert asked[0] != asked[1], name
        assert only["startupProbe"] not in (only["readinessProbe"], only["livenessProbe"]), name


def test_copies_keep_apart_and_are_spread_over_zones_and_hosts_but_one_node_takes_them_all() -> None:
    for item in SHOP:
        if item["kind"] in CONTROLLERS:
            pod = item["spec"]["template"]
            mine = picked(pod["metadata"]["labels"]["app.kubernetes.io/name"])
            name = item["metadata"]["name"]
            spread = {each["topologyKey"]: each for each in pod["spec"]["topologySpreadConstraints"]}
            assert spread.keys() == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}, name
            for each in spread.values():
                assert (each["maxSkew"], each["whenUnsatisfiable"]) == (1, "ScheduleAnyway"), name
                assert each["labelSelector"] == mine, name
            ((way, (term,)),) = pod["spec"]["affinity"]["podAntiAffinity"].items()
            assert way == "preferredDuringSchedulingIgnoredDuringExecution", name
            apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": mine}
            assert term["podAffinityTerm"] == apart, name


def test_a_drain_takes_one_pod_at_a_time_and_is_not_held_up_by_one_that_is_ill() -> None:
    budgets = dict(of_kind("PodDisruptionBudget"))
    assert budgets == {
        name: {"maxUnavailable": 1, "selector": picked(name), "unhealthyPodEvictionPolicy": "AlwaysAllow"}
        for name, _ in of_kind("Deployment", "StatefulSet")
    }


def test_what_keeps_data_outlives_what_serves_when_a_node_runs_full() -> None:
    values = {item["metadata"]["name"]: item["value"] for item in SHOP if item["kind"] == "PriorityClass"}
    given = {name: spec["template"]["spec"]["priorityClassName"] for name, spec in of_kind(*CONTROLLERS)}
    assert set(given.values()) == values.keys()
    assert min(values[given[name]] for name in ("nats", "postgres", "valkey")) > values[given["users"]]


def test_no_class_takes_a_place_from_another_teams_pod() -> None:
    """A pod without a class has priority 0 and pre-empts what is below it; ours are neither below nor pre-empt."""
    classes = [item for item in SHOP if item["kind"] == "PriorityClass"]
    assert len(classes) == 2
    assert {item["preemptionPolicy"] for item in classes} == {"Never"}
    assert min(item["value"] for item in classes) == 0
    assert not any(item.get("globalDefault") for item in classes)


def test_volumes_stay_when_their_set_goes_or_shrinks() -> None:
    sets = dict(of_kind("StatefulSet"))
    assert sets.keys() == {"nats", "postgres", "valkey", "telemetry"}
    for name, spec in sets.items():
        assert spec["volumeClaimTemplates"], name
        assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}, name


def test_nodes_of_nats_start_together_and_send_their_clients_away_before_they_stop() -> None:
    sets = dict(of_kind("StatefulSet"))
    assert (sets["nats"]["replicas"], sets["nats"]["podManagementPolicy"]) == (3, "Parallel")
    (node,) = sets["nats"]["template"]["spec"]["containers"]
    assert node["lifecycle"]["preStop"]["exec"]["command"] == ["nats-server", "--signal", "ldm=1"]


def test_a_job_gives_up_in_the_end_and_goes_when_it_was_seen() -> None:
    jobs = dict(of_kind("Job"))
    assert len(jobs) == 2
    for name, spec in jobs.items():
        assert 0 < spec["activeDeadlineSeconds"] <= 1800, name
        assert 0 < spec["ttlSecondsAfterFinished"] <= 7 * 86400, name
        assert spec["backoffLimit"] > 0, name
