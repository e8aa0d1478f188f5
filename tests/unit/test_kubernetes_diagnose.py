"""Why pods are not ready, from what a real cluster told when it was recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.state.diagnose import Reason, ending, of_controller, probed, reasons
from stepflow.targets.kubernetes.state.progress import overdue
from stepflow.targets.kubernetes.state.snapshot import ClusterState

RECORDED = Path(__file__).parents[1] / "kubernetes" / "recorded" / "failures"
KINDS = {
    "pods": "Pod",
    "events": "Event",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "deployments": "Deployment",
    "replicasets": "ReplicaSet",
    "statefulsets": "StatefulSet",
    "jobs": "Job",
}
DEADLINE = 30.0


def recorded(name: str) -> ClusterState:
    raw: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text("utf-8"))
    return ClusterState({kind: [{"kind": kind, **each} for each in raw[plural]] for plural, kind in KINDS.items()})


def first(name: str) -> Reason:
    sight = recorded(name)
    return reasons(sight.of("Pod"), sight, DEADLINE)[0]


def test_what_is_ready_has_no_reason() -> None:
    sight = recorded("none")
    assert reasons(sight.of("Pod"), sight, DEADLINE) == ()
    assert of_controller(sight.of("Deployment")[0], sight.of("Pod"), sight) is None


def test_a_pod_that_ends_again_and_again_is_lost_at_once_and_its_last_run_says_why() -> None:
    found = first("exits")
    assert (found.words, found.patience, found.log, found.previous) == ("exited with code 3", 0.0, True, True)


def test_an_image_is_named_with_what_the_pull_said_and_not_with_the_back_off() -> None:
    found = first("missing-image")
    assert found.words.startswith("cannot have the image `nowhere.invalid/none:1`: failed to pull and unpack image")
    assert "Back-off" not in found.words
    assert "`--registry` pushes what is built" in found.hint
    assert found.patience == 30.0


def test_an_image_that_the_registry_does_not_have_is_not_waited_for() -> None:
    sight = recorded("missing-image")
    waiting = sight.of("Pod")[0]["status"]["containerStatuses"][0]["state"]["waiting"]
    waiting |= {"reason": "ErrImagePull", "message": 'rpc error: code = NotFound desc = "shop:1": not found'}
    [found] = reasons(sight.of("Pod"), sight, DEADLINE)
    assert found.words == 'cannot have the image `nowhere.invalid/none:1`: "shop:1": not found'
    assert found.patience == 0.0


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("missing-secret-variable", 'cannot be started: secret "key" not found', "`stepflow resume` makes"),
        (
            "missing-secret-volume",
            'cannot be started: MountVolume.SetUp failed for volume "v" : secret "key" not found',
            "`stepflow resume` makes",
        ),
        ("no-such-command", 'unable to start container process: exec: "/nothing"', "is its command in its image?"),
        ("too-big", "cannot be placed on any node: 0/3 nodes are available: 3 Insufficient cpu.", "make room: fewer"),
        ("no-such-node", "node(s) didn't match Pod's node affinity/selector.", "make room: fewer copies"),
        (
            "no-storage-class",
            'waits for the volume `data`, which cannot be made: storageclass.storage.k8s.io "none" not found',
            "`storage: {class: NAME}`",
        ),
    ],
)
def test_what_keeps_a_pod_from_running_is_told_with_what_to_do(name: str, words: str, hint: str) -> None:
    found = first(name)
    assert words in found.words
    assert hint in found.hint
    assert found.patience is not None


def test_a_cluster_without_a_default_storage_class_is_told_so() -> None:
    sight = recorded("no-storage-class")
    del sight.of("PersistentVolumeClaim")[0]["spec"]["storageClassName"]
    [found] = reasons(sight.of("Pod"), sight, DEADLINE)
    assert found.words == "waits for the volume `data`, and the cluster has no default StorageClass"


def test_a_node_that_is_being_added_is_waited_for_longer_than_one_that_may_become_free() -> None:
    sight = recorded("too-big")
    uid = sight.of("Pod")[0]["metadata"]["uid"]
    about = {"kind": "Pod", "uid": uid}
    sight.objects["Event"].append(
        {"involvedObject": about, "reason": "TriggeredScaleUp", "type": "Normal", "message": "+1"}
    )
    assert first("too-big").patience == 90.0
    [found] = reasons(sight.of("Pod"), sight, DEADLINE)
    assert found.patience == 900.0


@pytest.mark.parametrize(
    ("reason", "words"),
    [("ContainerCreating", "is being made on its node"), ("PodInitializing", "runs its preparations")],
)
def test_a_pod_that_is_being_made_has_ten_minutes(reason: str, words: str) -> None:
    sight = recorded("missing-image")
    [pod] = sight.of("Pod")
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": reason}}
    [found] = reasons([pod], sight, DEADLINE)
    assert (found.words, found.patience) == (words, 600.0)


def test_a_pod_that_no_node_takes_on_has_ten_minutes() -> None:
    sight = recorded("missing-image")
    [pod] = sight.of("Pod")
    del pod["status"]["containerStatuses"]
    [found] = reasons([pod], sight, DEADLINE)
    assert (found.words, found.patience) == ("is on its way to a node", 600.0)
    pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]
    [found] = reasons([pod], sight, DEADLINE)
    assert (found.words, found.patience) == ("waits for a node", 600.0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("not-ready", "the readiness probe answers 404"),
        ("nothing-listens", "the readiness probe finds nothing that listens yet"),
    ],
)
def test_a_pod_that_runs_has_its_deadline_and_its_probe_says_what_is_missing(name: str, words: str) -> None:
    found = first(name)
    assert (found.words, found.patience, found.late) == (words, DEADLINE, True)


@pytest.mark.parametrize(
    ("name", "words", "patience"),
    [
        ("insecure", "is forbidden: violates PodSecurity", 0.0),
        ("quota", "is forbidden: exceeded quota: limit, requested: pods=1, used: pods=1, limited: pods=1", 15.0),
    ],
)
def test_pods_that_are_refused_are_told_by_their_controller(name: str, words: str, patience: float) -> None:
    sight = recorded(name)
    found = of_controller(sight.of("Deployment")[0], sight.of("Pod"), sight)
    assert found is not None
    assert words in found.words
    assert "Error creating" not in found.words
    assert found.patience == patience


def test_a_deployment_that_takes_too_long_says_since_when() -> None:
    assert overdue(recorded("no-progress").of("Deployment")[0]).startswith("2026-")
    assert overdue(recorded("none").of("Deployment")[0]) == ""


def test_a_job_may_fail_twice_before_it_is_given_up() -> None:
    sight = recorded("job-fails")
    [pod] = sight.of("Pod")
    pod["spec"]["restartPolicy"] = "OnFailure"
    status = pod["status"]["containerStatuses"][0]
    patience = []
    for restarts in (0, 1, 2):
        status["restartCount"] = restarts
        patience.append(reasons([pod], sight, DEADLINE)[0].patience)
    assert patience == [None, None, 0.0]


def test_a_start_that_the_cluster_cut_off_is_late_and_no_exit() -> None:
    sight = recorded("exits")
    [pod] = sight.of("Pod")
    pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] = 137
    said = "Startup probe failed: HTTP probe failed with statuscode: 503"
    about = {"kind": "Pod", "uid": pod["metadata"]["uid"]}
    event: Object = {"involvedObject": about, "reason": "Unhealthy", "type": "Warning", "message": said}
    sight.objects["Event"].append(event | {"lastTimestamp": "2999-01-01T00:00:00Z"})
    [found] = reasons([pod], sight, DEADLINE)
    assert found.words == "is not ready after 30 s; the last answer: the startup probe answers 503"
    assert (found.patience, found.previous) == (0.0, True)


def test_endings_are_told_as_shells_tell_them() -> None:
    assert ending({"exitCode": 3}) == "exited with code 3"
    assert ending({"exitCode": 137, "reason": "Error"}) == "exited with code 137 (signal 9)"
    assert "more memory than its limit" in ending({"exitCode": 137, "reason": "OOMKilled"})


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Liveness probe failed: HTTP probe failed with statuscode: 500", "the liveness probe answers 500"),
        (
            'Readiness probe failed: Get "http://h/": context deadline exceeded',
            "the readiness probe has no answer in time",
        ),
        ("Readiness probe errored and resulted in unknown state: gone", "the readiness probe fails: gone"),
        ("whatever else", "whatever else"),
    ],
)
def test_probes_are_told_in_words(said: str, words: str) -> None:
    assert probed(said) == words


def test_a_pod_that_is_going_has_no_reason() -> None:
    sight = recorded("exits")
    sight.of("Pod")[0]["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z"
    assert reasons(sight.of("Pod"), sight, DEADLINE) == ()
