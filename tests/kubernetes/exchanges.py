"""The requests that are sent to a real API once, to record its answers, and to the tests' API in each test run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
NAMESPACE = "stepflow-recorded"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
BATCH = f"/apis/batch/v1/namespaces/{NAMESPACE}"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
OURS, OTHERS = "fieldManager=stepflow", "fieldManager=somebody-else"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; with `until=a.b` for its query it is repeated until the answer has that field."""

    method: str
    path: str
    body: Object | None = None
    query: str = ""
    type: str = "application/json"


def _namespace(**labels: str) -> Ask:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    return Ask("POST", "/api/v1/namespaces", body)


def _config(name: str = "settings", labels: Mapping[str, str] | None = None, **data: str) -> Object:
    metadata = {"name": name} | ({"labels": dict(labels)} if labels else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _apply(path: str, body: Object, query: str = OURS) -> Ask:
    return Ask("PATCH", path, body, query, APPLY)


def container(name: str = "main", **changes: Any) -> Object:  # noqa: ANN401 - whatever a container has
    """Return a container that Pod Security `restricted` takes."""
    secure = {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True, "runAsUser": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    return {"name": name, "image": "nowhere.invalid/none:1", "securityContext": secure} | changes


def deployment(name: str = "shop", replicas: int | None = 0, label: str = "", **changes: Any) -> Object:  # noqa: ANN401 - likewise
    """Return a Deployment of one container."""
    labels = {"app": label or name}
    spec: Object = {} if replicas is None else {"replicas": replicas}
    spec |= {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container(**changes)]}},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def job(name: str = "migrate", command: str = "true", *, suspend: bool = True) -> Object:
    """Return a Job; one that is suspended starts no pod."""
    pod = {"restartPolicy": "Never", "containers": [container(command=[command])]}
    spec = {"suspend": suspend, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def pod(name: str = "lonely", **changes: Any) -> Object:  # noqa: ANN401 - likewise
    """Return a Pod of one container."""
    spec = {"restartPolicy": "Never", "containers": [container(**changes)]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _applying() -> list[Ask]:
    path, web = f"{CORE}/configmaps/settings", f"{APPS}/deployments/shop"
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    return [
        _namespace(),
        _apply(path, _config(a="1", b="2"), OURS + "&dryRun=All"),
        Ask("GET", path),
        _apply(path, _config(a="1", b="2")),
        _apply(path, _config(a="1", b="2")),
        _apply(path, _config(a="1", b="3")),
        _apply(path, _config(a="9", b="9"), OTHERS),
        _apply(path, _config(c="1"), OTHERS),
        _apply(path, _config(a="9"), OTHERS + "&force=true"),
        _apply(path, _config(a="1"), OURS + "&dryRun=All"),
        _apply(path, _config(a="9")),
        _apply(path, _config(a="9")),
        Ask("PATCH", path, {"data": {"d": "1"}, "metadata": {"labels": {"x": "y"}}}, "fieldManager=hand", MERGE),
        _apply(path, _config(a="9", d="2")),
        Ask("PATCH", path, {"data": {"d": None}}, "fieldManager=hand", MERGE),
        _apply(web, deployment(env=env, ports=[{"name": "http", "containerPort": 8000}])),
        _apply(web, deployment(env=env[:1], ports=[{"name": "http", "containerPort": 8000}])),
        _apply(web, {**deployment(), "spec": {"replicas": 0}}, "fieldManager=stepflow-replicas"),
        _apply(web, deployment(replicas=None, env=env[1:]), OURS + "&force=true"),
        _apply(web, deployment(replicas=2), OURS),
        Ask("DELETE", path),
        Ask("DELETE", path),
        Ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}"),
    ]


def _refusals() -> list[Ask]:
    path = f"{CORE}/configmaps/settings"
    web, work = f"{APPS}/deployments/shop", f"{BATCH}/jobs/migrate"
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "limit"},
        "spec": {"hard": {"count/secrets": "0"}},
    }  # fmt: skip
    wrong = _config("settings", a="1") | {"date": {"a": "1"}}
    return [
        Ask("GET", f"/api/v1/namespaces/{NAMESPACE}"),
        _apply(path, _config(a="1")),
        _namespace(),
        _namespace(),
        Ask("GET", path),
        Ask("GET", f"{APPS}/nonsense/x"),
        Ask("GET", f"/apis/monitoring.coreos.com/v1/namespaces/{NAMESPACE}/servicemonitors"),
        Ask("POST", f"{CORE}/configmaps", _config(a="1")),
        Ask("POST", f"{CORE}/configmaps", _config(a="1")),
        Ask("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}}),
        Ask("POST", f"{CORE}/configmaps", _config("Not A Name", a="1")),
        _apply(path, wrong, OURS + "&force=true"),
        _apply(web, deployment()),
        _apply(web, deployment(label="other")),
        _apply(work, job()),
        _apply(work, job(command="false")),
        Ask("POST", f"{CORE}/resourcequotas", quota),
        Ask("GET", f"{CORE}/pods/nobody/log"),
        Ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}"),
    ]


def _full() -> list[Ask]:
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "limit"}, "spec": {"hard": {"pods": "0"}},
    }  # fmt: skip
    return [
        _namespace(),
        Ask("POST", f"{CORE}/resourcequotas", quota),
        Ask("GET", f"{CORE}/resourcequotas/limit", query="until=status.used"),
        Ask("POST", f"{CORE}/pods", pod()),
        Ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}"),
    ]


def _unsafe() -> list[Ask]:
    return [
        _namespace(**{"pod-security.kubernetes.io/enforce": "restricted"}),
        Ask("POST", f"{CORE}/pods", pod(securityContext={"privileged": True})),
        Ask("POST", f"{CORE}/pods", pod(securityContext={})),
        Ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}"),
    ]


def _ending() -> list[Ask]:
    held = _config("held", a="1")
    held["metadata"]["finalizers"] = ["stepflow.dev/held"]
    free = {"metadata": {"finalizers": None}}
    return [
        _namespace(),
        Ask("POST", f"{CORE}/configmaps", held),
        Ask("DELETE", f"{CORE}/configmaps/held"),
        Ask("GET", f"{CORE}/configmaps/held"),
        Ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}"),
        Ask("POST", f"{CORE}/configmaps", _config("late", a="1")),
        _apply(f"{CORE}/configmaps/late", _config("late", a="1")),
        Ask("PATCH", f"{CORE}/configmaps/held", free, "", MERGE),
    ]


def _lists() -> list[Ask]:
    path = f"{CORE}/configmaps"
    label = "stepflow.dev/platform"
    made = [
        Ask("POST", path, _config(f"c{each}", {label: "abc" if each < 3 else "xyz", "n": str(each)}, a="1"))
        for each in (1, 2, 3)
    ]
    return [
        _namespace(),
        *made,
        Ask("GET", path, query=f"labelSelector={label}=abc"),
        Ask("GET", path, query="labelSelector=n&limit=2"),
        Ask("PATCH", f"{path}/c3", {"metadata": {"labels": {label: "abc"}}}, "", MERGE),
        Ask("PATCH", f"{path}/c1", {"metadata": {"labels": {label: "xyz"}}}, "", MERGE),
        Ask("DELETE", f"{path}/c2"),
        Ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}"),
    ]


EXCHANGES = {
    "applying": _applying(),
    "refusals": _refusals(),
    "quota": _full(),
    "pod-security": _unsafe(),
    "ending": _ending(),
    "lists": _lists(),
}
