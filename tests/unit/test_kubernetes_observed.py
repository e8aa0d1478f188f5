"""What is said of a server that has several nodes: how many there are, and how many of them are ready."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import pytest
from manifest_cases import SHOP, one

from stepflow.targets.contract import Site
from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.targets.kubernetes.state.observed import summary
from stepflow.targets.kubernetes.state.session import ClusterSession
from stepflow.targets.kubernetes.state.snapshot import ClusterState


def session(tmp_path: Path) -> ClusterSession:
    """Return a place that nothing is asked of."""
    site, client = Site("shop", tmp_path, tmp_path), cast("Client", None)
    who = KubernetesIdentity("shop", "0a1b2c", tmp_path)
    return ClusterSession.of(site, who, client, "shop")


def running(count: int) -> ClusterState:
    """Return NATS with so many of its three nodes ready, as a cluster shows it."""
    nats = copy.deepcopy(one(SHOP, "StatefulSet", "nats"))
    nats["metadata"] |= {"uid": "n", "generation": 1}
    counts = {"replicas": 3, "readyReplicas": count, "availableReplicas": count, "updatedReplicas": 3}
    nats["status"] = {"observedGeneration": 1, "currentRevision": "nats-1", "updateRevision": "nats-1", **counts}
    pods = [pod(number, nats, "True" if number < count else "False") for number in range(3)]
    return ClusterState({"StatefulSet": [nats], "Pod": pods})


def pod(number: int, nats: Object, ready: str) -> Object:
    labels = {**nats["spec"]["template"]["metadata"]["labels"], "controller-revision-hash": "nats-1"}
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}
    meta = {"name": f"nats-{number}", "labels": labels, "ownerReferences": [{"uid": "n"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}, "status": status}


@pytest.mark.parametrize(("count", "state"), [(3, "ready"), (2, "starting")])
def test_server_of_three_nodes_is_counted_by_its_nodes(tmp_path: Path, count: int, state: str) -> None:
    sight = running(count)
    seen = summary(session(tmp_path), sight.of("StatefulSet")[0], sight)
    assert (seen.kind, seen.state, seen.ready, seen.replicas) == ("server", state, count, 3)
    assert seen.handles == ("nats-0", "nats-1", "nats-2")
