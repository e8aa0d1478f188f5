"""A first plan looks into the namespace that was asked for, and needs no cluster where none answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from bare_api import bare_api
from manifest_cases import GATEWAY, USERS
from onenode.api import CONTEXT, kubeconfig

from stepflow.errors import PermanentError
from stepflow.targets.contract import Desired, Site
from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.manifests.names import MEANING, OURS
from stepflow.targets.kubernetes.target import KubernetesTarget
from stepflow.workload import Declaration

HELLO = replace(USERS, name="hello", context="hello", env={"A": "1"}, migrate=())
DESIRED = Desired(Declaration((HELLO,)), {"hello": "1"}, (GATEWAY, HELLO))


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with bare_api(tmp_path) as file:
        monkeypatch.setenv("KUBECONFIG", str(file))
        yield CONTEXT


@pytest.fixture
async def client(context: str) -> AsyncIterator[Client]:
    made = Client(context)
    yield made
    made.close()


class Forbidding(BaseHTTPRequestHandler):
    """An API of which its caller may know nothing."""

    def do_GET(self) -> None:
        body = json.dumps({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403}).encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def forbidding(folder: Path) -> Iterator[Path]:
    """Serve such an API; yield its kubeconfig."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Forbidding) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        file = folder / "forbidding"
        file.write_text(kubeconfig(server.server_port))
        try:
            yield file
        finally:
            server.shutdown()
            thread.join()


async def create(client: Client, kind: str, name: str, namespace: str = "", **labels: str) -> None:
    meta = {"name": name, "labels": labels} | ({"namespace": namespace} if namespace else {})
    await client.create({"apiVersion": "v1", "kind": kind, "metadata": meta})


async def printed(folder: Path, **options: str) -> list[str]:
    """Return the first plan of a platform with these options."""
    target = KubernetesTarget(Site("shop", folder / "state", folder / "out", options))
    lines = [str(each) for each in target.reconcile(DESIRED, await target.observe())]
    assert not (folder / "state").exists()
    return lines


async def test_namespace_that_is_there_is_used_and_not_planned_as_new(tmp_path: Path, client: Client) -> None:
    await create(client, "Namespace", "team")
    lines = await printed(tmp_path, context=client.context, namespace="team")
    assert not [line for line in lines if "Namespace/" in line]
    assert "create   Deployment/hello: it does not exist" in lines
    other = await printed(tmp_path, context=client.context, namespace="other")
    assert other[0] == "create   Namespace/other: it does not exist"


async def test_namespace_of_another_platform_is_refused_by_the_plan(tmp_path: Path, client: Client) -> None:
    await create(client, "Namespace", "team", **{OURS: "ffffff"})
    with pytest.raises(PermanentError) as refused:
        await printed(tmp_path, context=client.context, namespace="team")
    assert refused.value.message == "the namespace `team` is another platform's"
    assert refused.value.hint == "choose another one with `--namespace`"


async def test_what_others_have_under_a_name_of_the_platforms_is_refused_by_the_plan(
    tmp_path: Path, client: Client
) -> None:
    await create(client, "Namespace", "team")
    await create(client, "ServiceAccount", "hello", "team")
    with pytest.raises(PermanentError, match="there is a ServiceAccount `hello` in the cluster that is not stepflow's"):
        await printed(tmp_path, context=client.context, namespace="team")


async def test_what_has_lost_its_label_cannot_be_one_of_a_platform_that_was_never_made(
    tmp_path: Path, client: Client
) -> None:
    await create(client, "Namespace", "team")
    meta = {"name": "hello", "namespace": "team", "annotations": {MEANING: "x"}}
    await client.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    with pytest.raises(PermanentError, match="there is a ServiceAccount `hello` in the cluster that is not stepflow's"):
        await printed(tmp_path, context=client.context, namespace="team")


async def test_plan_without_the_rights_to_look_is_refused_as_its_run_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forbidding(tmp_path) as file:
        monkeypatch.setenv("KUBECONFIG", str(file))
        with pytest.raises(PermanentError, match="the cluster refuses: ") as refused:
            await printed(tmp_path, context=CONTEXT, namespace="team")
    assert refused.value.hint == "ask the cluster's administrator for the right to do it"


@pytest.mark.parametrize("options", [{"namespace": "team"}, {"namespace": "team", "context": "gone"}, {}])
async def test_plan_without_a_cluster_is_one_for_an_empty_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    lines = await printed(tmp_path, **options)
    assert lines[0] == f"create   Namespace/{options.get('namespace', 'shop')}: it does not exist"
