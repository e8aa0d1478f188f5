"""What a cluster refuses, and what stands in the way to it, in words."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError, SSLError

from stepflow.errors import MachineError, TemporaryError
from stepflow.targets.kubernetes.api.client import Client
from stepflow.targets.kubernetes.api.errors import ClusterRefusedError, failed, refused

ADDRESS = "https://cluster:6443"


def answer(reason: str, message: str, **details: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "details": details}


def test_what_is_forbidden_names_the_right_that_is_missing() -> None:
    said = 'deployments.apps is forbidden: User "me" cannot create resource "deployments" in API group "apps"'
    error = refused(403, answer("Forbidden", said), "PATCH", "/apis/apps/v1/x", "Deployment")
    assert error.message == f"the cluster refuses: {said}"
    assert error.hint == (
        "ask the cluster's administrator for this right; `kubectl auth can-i create deployments` checks it"
    )


def test_who_is_not_known_is_told_to_sign_in() -> None:
    error = refused(401, answer("Unauthorized", "Unauthorized"), "GET", "/api", "")
    assert isinstance(error, MachineError)
    assert error.message == "authentication failed: the cluster rejected the context's certificate or token"


def test_a_conflict_names_the_other_manager() -> None:
    said = 'Apply failed with 1 conflict: conflict with "helm": .spec.replicas'
    error = refused(409, answer("Conflict", said), "PATCH", "/x", "Service")
    assert isinstance(error, ClusterRefusedError)
    assert error.conflict
    assert error.hint == "`helm` manages these fields: remove or rename that object, then run again"


def test_of_a_secret_that_is_refused_only_names_are_told() -> None:
    said = 'Secret "key" is invalid: data[a b]: Invalid value: "hunter2": bad'
    body = answer("Invalid", said, name="key", causes=[{"field": "data[a b]", "message": 'Invalid: "hunter2"'}])
    error = refused(422, body, "PATCH", "/api/v1/namespaces/shop/secrets/key", "Secret")
    assert error.message == 'the cluster refuses: Secret "key" is invalid: `data[a b]`'
    assert "hunter2" not in f"{error.message}{error.hint}"


def test_an_extension_that_is_not_there_is_no_object_that_is_not_there() -> None:
    path = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes"
    error = refused(404, {"message": "404 page not found"}, "GET", path, "")
    assert isinstance(error, ClusterRefusedError)
    assert error.message == "the cluster refuses: gateway.networking.k8s.io/v1 has no httproutes"
    assert not error.gone


def test_a_cluster_that_is_busy_is_asked_again_when_it_says() -> None:
    error = refused(429, answer("TooManyRequests", "later", retryAfterSeconds=7), "GET", "/", "")
    assert isinstance(error, TemporaryError)
    assert error.delay == 7.0


@pytest.mark.parametrize(
    ("said", "fixed"),
    [
        ('Job "x" is invalid: spec.template: Invalid value: {}: field is immutable', True),
        ("updates to statefulset spec for fields other than 'replicas' are forbidden", False),
        ("StatefulSet is invalid: spec: Forbidden: updates to statefulset spec for fields other than", True),
        ("spec.replicas: Required value", False),
    ],
)
def test_what_cannot_be_changed_is_told_from_what_is_wrong(said: str, fixed: bool) -> None:  # noqa: FBT001 - a case
    error = refused(422, answer("Invalid", said), "PATCH", "/x", "Job")
    assert isinstance(error, ClusterRefusedError)
    assert error.fixed is fixed


def test_recorded_refusals_are_told_in_the_clusters_words() -> None:
    file = Path(__file__).parents[1] / "kubernetes" / "recorded" / "refusals.json"
    bodies = [each for each in _bodies(json.loads(file.read_text("utf-8"))) if each.get("status") == "Failure"]
    assert bodies
    for body in bodies:
        error = refused(body["code"], body, "PATCH", "/api/v1/x", "")
        assert " ".join(body["message"].split()) in error.message


def test_nothing_that_listens_is_told_before_and_after_it_was_met() -> None:
    inner = NewConnectionError(None, "x")  # type: ignore[arg-type] - urllib3 wants a pool only to show it
    inner.__cause__ = ConnectionRefusedError(111, "Connection refused")
    error = MaxRetryError(None, "/version", inner)  # type: ignore[arg-type] - as above
    first = failed(error, ADDRESS, met=False)
    assert isinstance(first, MachineError)
    assert first.message == f"no cluster answers at {ADDRESS}: Connection refused"
    assert "`--context`" in first.hint
    later = failed(ProtocolError("closed", ConnectionResetError(104, "reset")), ADDRESS, met=True)
    assert isinstance(later, TemporaryError)
    assert later.message == f"the cluster at {ADDRESS} went away"


def test_a_foreign_certificate_is_told() -> None:
    inner = ssl.SSLCertVerificationError(1, "certificate verify failed")
    inner.verify_message = "certificate has expired"
    error = failed(SSLError(inner), ADDRESS, met=False)
    assert error.message == f"cannot verify the certificate of the cluster at {ADDRESS}: certificate has expired"


async def test_a_context_that_leads_nowhere_is_told_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path, "http://127.0.0.1:1"))
    client = Client("c")
    with pytest.raises(MachineError, match=r"no cluster answers at http://127\.0\.0\.1:1: Connection refused"):
        await client.version()
    client.close()


@pytest.mark.parametrize("page", ["<html>Welcome</html>", '{"hello": "world"}'])
async def test_a_server_that_is_not_a_cluster_is_told_and_never_taken_for_an_empty_one(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(page)}\r\nConnection: close\r\n\r\n{page}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(welcome, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path, address))
    client = Client("c")
    async with server:
        for ask in (client.version, lambda: client.list("v1", "Pod"), lambda: client.get("v1", "Namespace", "shop")):
            with pytest.raises(MachineError, match=f"the server at {address} is not a Kubernetes cluster"):
                await ask()
    client.close()


def kubeconfig(folder: Path, server: str) -> str:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (folder / "config").write_text(json.dumps(config))
    return str(folder / "config")


def _bodies(found: object) -> list[dict[str, Any]]:
    if isinstance(found, dict):
        inner = [each for value in found.values() for each in _bodies(value)]
        return [found, *inner] if found.get("kind") == "Status" else inner
    return [each for value in found for each in _bodies(value)] if isinstance(found, list) else []
