"""What the node of the tests' own cluster makes of a pod, as far as it takes no engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from onenode.kinds import Object
from onenode.node.containers import config
from onenode.node.engine import Engine
from onenode.node.node import Network, Node
from onenode.objects import Objects

from stepflow.targets.kubernetes.manifests.environment import environment
from stepflow.targets.kubernetes.state.diagnose import reasons
from stepflow.targets.kubernetes.state.snapshot import ClusterState


def pod(name: str = "a-1", **spec: object) -> Object:
    meta = {"name": name, "namespace": "shop", "labels": {"app": "a"}}
    main = {"name": "a", "image": "a:1", "securityContext": {"runAsUser": 1}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [main], "nodeName": ""} | spec}


def test_variables_come_from_the_annotations_and_labels_of_the_pod_as_the_product_writes_them() -> None:
    made = environment({"A": "1", "SECRET_FILE": "/s/t"}, {"APP": "metadata.labels['app']", "NAME": "metadata.name"})
    body = pod()
    body["metadata"]["annotations"] = dict(made.annotations)
    container = body["spec"]["containers"][0] | {"env": list(made.variables)}
    told = config(container, body, "10.0.0.1", "here")["environment"]
    assert told == {"A": "1", "SECRET_FILE": "/s/t", "APP": "a", "NAME": "a-1"}


def test_variable_from_elsewhere_is_refused_by_its_name() -> None:
    body = pod()
    source = {"secretKeyRef": {"name": "key", "key": "text"}}
    container = body["spec"]["containers"][0] | {"env": [{"name": "KEY", "valueFrom": source}]}
    with pytest.raises(NotImplementedError, match="variable `KEY` is from what the tests' node does not know"):
        config(container, body, "10.0.0.1", "here")


@asynccontextmanager
async def running(objects: Objects, root: Path) -> AsyncIterator[Node]:
    """Run a node that has its network already, and so asks no engine for one."""
    node = Node(objects, cast("Engine", None), root)
    node._networks["shop"] = Network("shop", {"Gateway": "10.0.0.1", "Subnet": "10.0.0.0/24"}, asyncio.BaseTransport())
    task = asyncio.create_task(node.run())
    try:
        yield node
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(objects: Objects, true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await objects.store.changed(objects.store.version, 1)


async def test_pod_that_the_node_cannot_run_is_given_up_once_and_says_why_until_it_is_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = Objects()
    objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}, "tests")

    def state(name: str) -> Object:
        return objects.store.get("Pod", "shop", name)["status"]

    async with running(objects, tmp_path):
        for name in ("a-1", "a-2"):  # the second wakes the node, which then looks at the first one again
            objects.create(pod(name, initContainers=[{"name": "first", "image": "a:1"}]), "tests")
            await until(objects, lambda name=name: state(name).get("containerStatuses"))
        told = reasons(objects.store.list("Pod"), ClusterState({"Event": []}), 30.0)
        assert [each.words for each in told] == [
            f"cannot be started: the tests' node cannot run it: NotImplementedError: pod `{name}` needs what "
            "the tests' node does not do: see its README.md"
            for name in ("a-1", "a-2")
        ]
        for each in objects.store.list("Pod"):
            objects.delete(each)
        await until(objects, lambda: not objects.store.list("Pod"))
    assert capsys.readouterr().err.count("Traceback") == 2
