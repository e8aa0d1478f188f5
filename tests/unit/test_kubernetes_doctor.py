"""What `stepflow doctor --target kubernetes` says of a cluster, by what its API answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from stepflow.targets.contract import Finding
from stepflow.targets.kubernetes.doctor import examine
from stepflow.targets.kubernetes.manifests.quantity import amount

Answers = dict[str, Any]
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
GIB = 1024**3


def node(name: str, cpu: str = "4", memory: str = "8Gi") -> Answers:
    return {
        "metadata": {"name": name},
        "spec": {},
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory},
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.9.9.9"}],
            "nodeInfo": {"containerRuntimeVersion": "containerd://2.1.9", "architecture": "amd64"},
        },
    }


def pod(on: str, cpu: str, memory: str, phase: str = "Running") -> Answers:
    asked = {"resources": {"requests": {"cpu": cpu, "memory": memory}}}
    return {"metadata": {"name": "p"}, "spec": {"nodeName": on, "containers": [asked, {}]}, "status": {"phase": phase}}


def listed(*items: Answers) -> Answers:
    return {"metadata": {}, "items": list(items)}


def storage(name: str, *, default: bool) -> Answers:
    marked = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": name, "annotations": marked}, "provisioner": "local"}


def cluster(**more: Any) -> Answers:  # noqa: ANN401 - JSON
    """Return the answers of a cluster that has everything."""
    groups = [{"name": "apps"}, {"name": "metrics.k8s.io"}, {"name": "gateway.networking.k8s.io"}]
    return {
        "/version": {"major": "1", "minor": "36", "gitVersion": "v1.36.2"},
        "/apis": {"groups": groups},
        "/api/v1/nodes": listed(node("n1")),
        "/api/v1/pods": listed(pod("n1", "500m", "1Gi"), pod("n1", "3", "6Gi", "Succeeded"), pod("n2", "4", "8Gi")),
        "/apis/storage.k8s.io/v1/storageclasses": listed(storage("slow", default=False), storage("fast", default=True)),
        "/apis/networking.k8s.io/v1/ingressclasses": listed({"metadata": {"name": "nginx"}}),
        "denied": (),
        **more,
    }


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answers], str]]:
    """Serve an API to which the only context of the kubeconfig leads; an answer that is a number is that status."""
    servers: list[ThreadingHTTPServer] = []

    def serve(answers: Answers) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._give(answers.get(self.path.partition("?")[0], 404))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked = body["spec"]["resourceAttributes"]
                self._give({"status": {"allowed": asked["resource"] not in answers["denied"]}})

            def _give(self, answer: Any) -> None:  # noqa: ANN401 - JSON
                status = answer if isinstance(answer, int) else 200
                refused = {"kind": "Status", "reason": "Forbidden", "message": "you may not", "code": status}
                content = json.dumps(refused if isinstance(answer, int) else answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_address[1]}"
        write(tmp_path, monkeypatch, url)
        return url

    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.delenv("CONTAINERD_ADDRESS", raising=False)
    yield serve
    for each in servers:
        each.shutdown()
        each.server_close()


def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, name: str = "here") -> None:
    config = {
        "current-context": name,
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))


def found() -> dict[str, Finding]:
    return {each.name.removeprefix("kubernetes "): each for each in examine({})}


def test_cluster_that_has_everything_is_told_line_by_line(served: Callable[[Answers], str]) -> None:
    url = served(cluster())
    told = found()
    assert {name: each.detail for name, each in told.items() if name != "builds"} == {
        "context": f"`here` at {url}, local",
        "api": "v1.36.2",
        "rights": "all that a run needs",
        "nodes": "1 of 1 are ready and take any pod; containerd 2.1.9, amd64",
        "images": (
            "runs need `--registry HOST/PATH`: the images are pushed there, and the nodes pull them; "
            "there is no way to bring an image into the node `n1`: it is not on this machine"
        ),
        "room": "3.5 cores and 7.0 GiB are left to request; the reference platform requests 1.5 and 3 GiB",
        "storage": "class `fast` (local) is the default",
        "metrics": "there: copies are added by their use of the CPU",
        "entry": "Ingress class `nginx`, Gateway API; `stepflow open` needs none",
        "policies": "network policies are applied; whether the cluster's network enforces them cannot be seen",
    }
    assert [name for name, each in told.items() if not each.ok] == ["builds"]  # there is no engine
    assert told["builds"].detail.startswith("images cannot be built: no Docker engine answers at unix://")


def test_what_the_cluster_lacks_comes_with_its_remedy(served: Callable[[Answers], str]) -> None:
    served(
        cluster(
            **{
                "/apis": {"groups": []},
                "/api/v1/nodes": listed(node("n1", "1", "2Gi")),
                "/apis/storage.k8s.io/v1/storageclasses": listed(storage("slow", default=False)),
                "/apis/networking.k8s.io/v1/ingressclasses": listed(),
                "denied": ("namespaces", "priorityclasses"),
            }
        )
    )
    told = found()
    assert told["rights"].detail == "you may not: create namespaces, create priorityclasses"
    assert told["room"].detail.startswith("0.5 cores and 1.0 GiB are left to request")
    assert told["storage"] == Finding(
        "kubernetes storage",
        ok=False,
        detail="no StorageClass is the default; there are: `slow`",
        remedy="name one in `--values`: `storage: {class: NAME}`",
    )
    assert told["metrics"].detail.startswith("no metrics API: the number of copies stays at the least")
    assert told["entry"].detail == "neither an Ingress class nor the Gateway API; `stepflow open` needs none"
    assert [name for name in ("rights", "room", "storage", "metrics", "entry") if not told[name].ok] == [
        "rights",
        "room",
        "storage",
    ]


def test_what_may_not_be_seen_is_not_a_failure(served: Callable[[Answers], str]) -> None:
    served(cluster(**{"/api/v1/nodes": 403, "/apis/storage.k8s.io/v1/storageclasses": 403}))
    told = found()
    assert told["nodes"].detail == (
        "cannot be seen (the cluster refuses: you may not): "
        "`--registry HOST/PATH`: the images are pushed there, and the nodes pull them"
    )
    assert told["storage"].detail == "cannot be seen: the cluster refuses: you may not"
    assert told["nodes"].ok
    assert told["storage"].ok
    served(cluster(**{"/api/v1/pods": 403}))
    assert found()["room"].detail == "cannot be seen: you may not list the pods of all namespaces"


@pytest.mark.parametrize(
    ("minor", "said"),
    [
        ("32+", "v1.32; older than 1.33, the oldest that the objects are validated for"),
        ("33", "v1.33"),
        ("38", "v1.38; newer than 1.37, the newest that the objects are validated for"),
    ],
)
def test_version_that_the_objects_are_not_validated_for_is_a_remark(
    served: Callable[[Answers], str], minor: str, said: str
) -> None:
    version = {"major": "1", "minor": minor, "gitVersion": f"v1.{minor.rstrip('+')}"}
    served(cluster(**{"/version": version}))
    api = found()["api"]
    assert (api.ok, api.detail) == (True, said)


def test_cluster_that_does_not_answer_is_told_with_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, monkeypatch, "http://127.0.0.1:9")
    told = found()
    assert told["api"].detail == "no cluster answers at http://127.0.0.1:9: Connection refused"
    assert (
        told["api"].remedy == "start it, or name another one with `--context`; `kubectl config get-contexts` lists them"
    )
    assert list(told) == ["context", "api", "builds"]


def test_cluster_that_is_not_local_is_asked_only_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, monkeypatch, "https://api.example.com", "work")
    told = found()
    assert told["context"].detail == ("the current context `work` (https://api.example.com) is not a local cluster")
    assert told["context"].remedy == "`stepflow doctor --target kubernetes --context work` to use it"
    assert list(told) == ["context", "builds"]


@pytest.mark.parametrize(
    ("text", "is_"),
    [("2", 2), ("500m", 0.5), ("24Gi", 24 * GIB), ("128974848", 128974848), ("1e3", 1000), ("5M", 5e6), ("0", 0)],
)
def test_amounts_are_read_as_kubernetes_writes_them(text: str, is_: float) -> None:
    assert amount(text) == pytest.approx(is_)
