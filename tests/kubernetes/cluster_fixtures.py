"""The real cluster that `STEPFLOW_TEST_KUBECONFIG` names, and the engine that images are made with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest
import yaml
from docker.errors import DockerException
from private_engine import lent, refusal

from stepflow.targets.images import BASE, IMAGES

if TYPE_CHECKING:  # the client takes a second to load, and most runs of tests have no cluster
    from kubernetes.client import ApiClient

KUBECONFIG, CONTEXT, REGISTRY = "STEPFLOW_TEST_KUBECONFIG", "STEPFLOW_TEST_CONTEXT", "STEPFLOW_TEST_REGISTRY"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True)
class Cluster:
    """A cluster, and what `stepflow` has to be told to use it."""

    client: ApiClient
    context: str
    env: dict[str, str]
    options: tuple[str, ...]
    keeps: bool
    """Whether it has volumes that outlive a pod."""

    def nodes(self) -> list[str]:
        """Name the nodes that pods can be placed on."""
        from kubernetes.client import CoreV1Api  # noqa: PLC0415 - as above

        nodes = CoreV1Api(self.client).list_node().items
        closed = {"NoSchedule", "NoExecute"}
        return [
            node.metadata.name
            for node in nodes
            if not node.spec.unschedulable and not any(taint.effect in closed for taint in node.spec.taints or ())
        ]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield the cluster; skips, and says what is missing, where there is none."""
    file = os.environ.get(KUBECONFIG, "")
    if not file:
        pytest.skip(f"no real cluster: set {KUBECONFIG} to a kubeconfig file (tests/kubernetes/README.md)")
    from kubernetes import config  # noqa: PLC0415 - as above
    from kubernetes.client import StorageV1Api  # noqa: PLC0415 - likewise

    asked = os.environ.get(CONTEXT, "")
    context = asked or config.list_kube_config_contexts(file)[1]["name"]
    client = config.new_client_from_config(file, context)
    with ExitStack() as stack:
        stack.callback(client.close)
        env = {"KUBECONFIG": str(Path(file).resolve()), "DOCKER_HOST": _engine(stack), "BROWSER": "true"}
        options: list[str] = []
        if os.environ.get(REGISTRY):
            options += ["--registry", os.environ[REGISTRY]]
        classes = StorageV1Api(client).list_storage_class().items
        keeps = any((each.metadata.annotations or {}).get(_DEFAULT_CLASS) == "true" for each in classes)
        if not keeps:
            values = tmp_path_factory.mktemp("values") / "values.yaml"
            values.write_text(yaml.safe_dump({"storage": {"ephemeral": True}}))
            options += ["--values", str(values)]
        yield Cluster(client, context, env, tuple(options), keeps)


def _engine(stack: ExitStack) -> str:
    """Return the address of an engine that has the base image: the machine's own, or that of the tests."""
    base = f"{IMAGES[BASE].repository}:{IMAGES[BASE].tag}"
    try:
        with closing(docker.from_env()) as own:
            own.images.get(base)
            return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    except DockerException:
        why_not = refusal()
        if why_not:
            pytest.skip(f"no engine with `{base}` to build images with: {why_not}")
        return stack.enter_context(lent(str)).host
