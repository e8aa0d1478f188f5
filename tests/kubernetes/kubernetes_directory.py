"""A working directory, and what is in the cluster because of it."""

from __future__ import annotations

import json
import re
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import httpx2
from cluster_fixtures import Cluster
from kubernetes.client import ApiClient, AppsV1Api, CoreV1Api, PolicyV1Api, V1Eviction, V1ObjectMeta, V1Pod
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from patience import eventually
from workplace import Command, Json, Workplace

PLATFORM = "stepflow.dev/platform"
"""The label with the platform's id that all of it carries."""
ANYWHERE = (("v1", "Namespace"), ("scheduling.k8s.io/v1", "PriorityClass"))
INSIDE = (
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("v1", "ServiceAccount"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("v1", "ResourceQuota"),
    ("v1", "LimitRange"),
)
KEPT = (("v1", "Secret"), ("v1", "PersistentVolumeClaim"))
"""What stays when a platform is taken down without its data."""


@dataclass
class Directory(Workplace):
    """A working directory whose platform runs in a namespace of its own."""

    target: ClassVar[str] = "kubernetes"
    client: ApiClient = field(kw_only=True)
    context: str = field(kw_only=True)
    options: Sequence[str] = field(kw_only=True)
    namespace: str = field(default_factory=lambda: f"stepflow-test-{secrets.token_hex(3)}", kw_only=True)
    _open: Command | None = None
    _url: str = ""

    def run(self, *arguments: str, expect: int = 0) -> str:
        """Run the document in the cluster."""
        where = ("--context", self.context, "--namespace", self.namespace)
        return super().run(*where, *self.options, *arguments, expect=expect)

    def gateway(self) -> str:
        """Return the URL at which `stepflow open` forwards the gateway; forwards it first where nothing does."""
        if self._open is None or self._open.process.poll() is not None:
            self._open = self.begin("open", "--port", str(_free()))
            self._open.until("http://")
            found = re.search(r"http://[\w.]+:\d+", self._open.said())
            assert found
            self._url = found[0]
        eventually(lambda: _answers(self._url), within=60)
        return self._url

    def close(self) -> None:
        """Stop forwarding."""
        if self._open:
            self._open.interrupt()
            self._open = None

    @property
    def id(self) -> str:
        """Return the id in the labels of everything of this platform, "" before there is one."""
        for file in (self.root / ".stepflow").glob("*/kubernetes/id"):
            return file.read_text().split()[0]
        return ""

    @property
    def core(self) -> CoreV1Api:
        """Return the API of pods and nodes."""
        return CoreV1Api(self.client)

    def pods(self, component: str = "") -> dict[str, V1Pod]:
        """Return the pods that are not ending, by name; of one workload or server, or all."""
        wanted = f"app.kubernetes.io/name={component}" if component else f"{PLATFORM}={self.id}"
        listed = self.core.list_namespaced_pod(self.namespace, label_selector=wanted).items
        return {
            pod.metadata.name: pod
            for pod in listed
            if not pod.metadata.deletion_timestamp and pod.status.phase not in {"Succeeded", "Failed"}
        }

    def ids(self, component: str = "") -> dict[str, str]:
        """Return the uids of the pods by name."""
        return {name: pod.metadata.uid for name, pod in self.pods(component).items()}

    def generations(self) -> dict[str, int]:
        """Return how often the desired state has changed, by Deployment and StatefulSet."""
        api = AppsV1Api(self.client)
        listed = (
            *api.list_namespaced_deployment(self.namespace).items,
            *api.list_namespaced_stateful_set(self.namespace).items,
        )
        return {each.metadata.name: each.metadata.generation for each in listed}

    def objects(self, kinds: Sequence[tuple[str, str]], labels: str = "") -> list[Json]:
        """Return all objects of these kinds, those of the namespace, or with these labels anywhere."""
        dynamic, found = DynamicClient(self.client), []
        for version, kind in kinds:
            resource = dynamic.resources.get(api_version=version, kind=kind)
            where = {"namespace": self.namespace} if resource.namespaced else {}
            listed = resource.get(**where, label_selector=labels).to_dict()["items"]
            found += [{"apiVersion": version, "kind": kind, **each} for each in listed]
        return found

    def left(self, *, data: bool = True) -> list[str]:
        """Name all of this platform that is in the cluster; without `data` not what keeps data."""
        kinds = (*INSIDE, *KEPT, *ANYWHERE) if data else (*INSIDE, ANYWHERE[1])
        labels = f"app.kubernetes.io/managed-by=stepflow,app.kubernetes.io/instance={self.namespace}"
        return [f"{each['kind']} {each['metadata']['name']}" for each in self.objects(kinds, labels)]

    def kill(self, pod: str) -> None:
        """End a pod without any grace."""
        self.core.delete_namespaced_pod(pod, self.namespace, grace_period_seconds=0)

    def evict(self, pod: str) -> bool:
        """Ask for a pod's eviction, as a drain does; False while its budget forbids it."""
        wanted = V1Eviction(metadata=V1ObjectMeta(name=pod, namespace=self.namespace))
        try:
            self.core.create_namespaced_pod_eviction(pod, self.namespace, wanted)
        except ApiException as error:
            if error.status not in {404, 429}:
                raise
            return bool(error.status == 404)
        return True

    def cordon(self, node: str, *, closed: bool) -> None:
        """Close a node for new pods, or open it again."""
        self.core.patch_node(node, {"spec": {"unschedulable": closed}})

    def budgets(self) -> Mapping[str, int]:
        """Return how many pods may be disrupted right now, by budget."""
        listed = PolicyV1Api(self.client).list_namespaced_pod_disruption_budget(self.namespace).items
        return {each.metadata.name: each.status.disruptions_allowed for each in listed}


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/api/products", timeout=5).status_code < 500
    except httpx2.TransportError:
        return False


@contextmanager
def directory(root: Path, cluster: Cluster, document: str) -> Iterator[Directory]:
    """Return a new directory with a document; in the end nothing of it is in the cluster."""
    root = root.resolve()
    root.mkdir(parents=True)
    made = Directory(root, dict(cluster.env), client=cluster.client, context=cluster.context, options=cluster.options)
    made.write(document)
    try:
        yield made
    finally:
        made.close()
        made.interrupt()
        for state in (root / ".stepflow").glob("*/journal.db"):
            made.type("down", "--data", "--name", state.parent.name)
        left = made.left()
    assert json.dumps(left) == "[]"
