"""A Kubernetes cluster for the tests that need one: the real one that is named, or one on the tests' own engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster_fixtures import KUBECONFIG, Cluster
from private_engine import Engine

_HERE = Path(__file__).parent
_PATIENCE = 60  # seconds until it has removed its containers

SOME_CLUSTER = pytest.mark.cluster if os.environ.get(KUBECONFIG) else pytest.mark.docker
"""The mark of tests that run in the real cluster where one is named, and otherwise in the tests' own."""


@contextmanager
def started(engine: Engine, folder: Path) -> Iterator[Cluster]:
    """Start a cluster of one node as a process, which ends with this one, however this one ends."""
    from kubernetes import config  # noqa: PLC0415 - it takes a second, and few tests need it

    file, context = folder / "kubeconfig", "stepflow-tests"
    env = {**os.environ, "DOCKER_HOST": engine.host, "PYTHONPATH": str(_HERE)}
    with (folder / "cluster.log").open("wb") as log:
        process = subprocess.Popen(
            (sys.executable, "-m", "onenode", str(file)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=env,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        told = process.stdout.readline()
        assert told, (folder / "cluster.log").read_text()
        client = config.new_client_from_config(str(file), context)
        yield Cluster(client, context, {"KUBECONFIG": str(file), "DOCKER_HOST": engine.host}, (), keeps=True)
        client.close()
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(_PATIENCE)
    said = (folder / "cluster.log").read_text()
    assert "Traceback" not in said, said


@pytest.fixture(scope="module")
def own_cluster(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return the tests' own cluster, the same for all tests of a module."""
    with started(docker_engine, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def some_cluster(request: pytest.FixtureRequest) -> Cluster:
    """Return the real cluster where one is named, otherwise the tests' own."""
    cluster: Cluster = request.getfixturevalue("cluster" if os.environ.get(KUBECONFIG) else "own_cluster")
    return cluster
