"""Record how a real cluster tells what goes wrong.

`STEPFLOW_TEST_KUBECONFIG=… python tests/kubernetes/record_failures.py IMAGE [NAME…]`,
where IMAGE is one with a shell that its nodes have.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from exchanges import CORE, NAMESPACE, Ask, Object, deployment, job
from record import RECORDED, Speaker

LISTED = {
    "api/v1": ("pods", "events", "persistentvolumeclaims"),
    "apis/apps/v1": ("deployments", "replicasets", "statefulsets"),
    "apis/batch/v1": ("jobs",),
}
_PATIENCE = 90  # seconds
_ADDRESS = re.compile(r"\b(?:10|172)\.\d+\.\d+\.(\d+)\b")
_RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
_GONE_ON = ["sh", "-c", "echo cannot go on: the moon is in the wrong phase; exit 3"]
_IDLE = ["sleep", "1000"]
_PAGE = ["sh", "-c", "echo hi > /tmp/index.html; httpd -f -p 8000 -h /tmp"]
_WEB = ["httpd", "-f", "-p", "8000"]


def _claim(storage: str) -> Object:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
        "storageClassName": storage,
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": spec}


def _quota() -> Object:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "limit"}, "spec": {"hard": {"pods": "1"}}}


def _probe(path: str, **more: int) -> Object:
    return {"httpGet": {"path": path, "port": 8000}, "periodSeconds": 1, **more}


def _web(replicas: int = 1, *, deadline: int = 600, pod: Object | None = None, **container: Any) -> Object:  # noqa: ANN401 - as `deployment`
    body = deployment(replicas=replicas, **container)
    body["spec"]["progressDeadlineSeconds"] = deadline
    body["spec"]["template"]["spec"] |= {"terminationGracePeriodSeconds": 0, **(pod or {})}
    return body


def _job(command: list[str], **spec: int) -> Object:
    body = job(suspend=False)
    body["spec"] |= spec
    body["spec"]["template"]["spec"]["containers"][0]["command"] = command
    return body


def _insecure() -> Object:
    body = _web()
    del body["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    return body


def _mount(volume: Object) -> Object:
    return {"pod": {"volumes": [{"name": "v", **volume}]}, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}


def _failures(image: str) -> dict[str, tuple[list[Object], str]]:
    """Return for each failure what is made, and a word in the lists that shows it has come to it."""
    running: Object = {"image": image, "command": _WEB}
    volume = {"persistentVolumeClaim": {"claimName": "data"}}
    variable = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}
    return {
        "none": ([_web(readinessProbe=_probe("/"), image=image, command=_PAGE)], '"readyReplicas"'),
        "missing-image": ([_web()], "ImagePullBackOff"),
        "exits": ([_web(image=image, command=_GONE_ON)], "CrashLoopBackOff"),
        "no-such-command": ([_web(image=image, command=["/nothing"])], "StartError"),
        "not-ready": ([_web(readinessProbe=_probe("/nothing"), **running)], "statuscode: 404"),
        "nothing-listens": ([_web(readinessProbe=_probe("/"), image=image, command=_IDLE)], "connection refused"),
        "not-alive": ([_web(livenessProbe=_probe("/nothing", failureThreshold=1), **running)], "will be restarted"),
        "too-big": ([_web(resources={"requests": {"cpu": "1000"}})], "FailedScheduling"),
        "no-such-node": ([_web(pod={"nodeSelector": {"disk": "golden"}})], "FailedScheduling"),
        "insecure": ([_insecure()], "FailedCreate"),
        "quota": ([_quota(), _web(2)], "FailedCreate"),
        "no-storage-class": ([_claim("none"), _web(**_mount(volume))], "ProvisioningFailed"),
        "missing-secret-variable": ([_web(env=[variable], **running)], "CreateContainerConfigError"),
        "missing-secret-volume": ([_web(**running, **_mount({"secret": {"secretName": "key"}}))], "FailedMount"),
        "no-progress": ([_web(deadline=2)], "ProgressDeadlineExceeded"),
        "job-fails": ([_job(_GONE_ON, backoffLimit=0) | {}], "BackoffLimitExceeded"),
        "job-too-slow": ([_job(_IDLE, activeDeadlineSeconds=2, backoffLimit=0)], "DeadlineExceeded"),
        "job-done": ([_job(["true"], backoffLimit=0)], '"Complete"'),
    }  # fmt: skip


def _lists(speaker: Speaker) -> dict[str, list[Object]]:
    found = {}
    for base, plurals in LISTED.items():
        for plural in plurals:
            items = speaker.ask(Ask("GET", f"/{base}/namespaces/{NAMESPACE}/{plural}"))["body"]["items"]
            for item in items:
                item["metadata"].pop("managedFields", None)
            found[plural] = items
    return found


def _until(look: Callable[[], Object], word: str) -> Object:
    deadline = monotonic() + _PATIENCE
    while word not in json.dumps(found := look()):
        if monotonic() > deadline:
            raise TimeoutError(f"`{word}` did not come in {_PATIENCE} s")
        sleep(0.1)
    return found


def _path(body: Object) -> str:
    base = body["apiVersion"] if "/" not in body["apiVersion"] else f"apis/{body['apiVersion']}"
    return f"/{'api/' if '/' not in base else ''}{base}/namespaces/{NAMESPACE}/{body['kind'].lower()}s"


def _main() -> None:
    image, *names = sys.argv[1:]
    speaker = Speaker(os.environ["STEPFLOW_TEST_KUBECONFIG"])
    for name, (bodies, word) in _failures(image).items():
        if names and name not in names:
            continue
        space = {"name": NAMESPACE, "labels": _RESTRICTED}
        speaker.ask(Ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": space}))
        speaker.ask(Ask("GET", f"{CORE}/serviceaccounts/default", query="until=metadata.uid"))
        for body in bodies:
            for container in body["spec"].get("template", {}).get("spec", {}).get("containers", ()):
                container["image"] = container["image"] if body["kind"] == "Deployment" else image
            answer = speaker.ask(Ask("POST", _path(body), body))
            assert answer["status"] < 300, answer
        found = _until(lambda: _lists(speaker), word)
        speaker.ask(Ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}"))
        speaker.await_gone()
        text = json.dumps(found, indent=1, sort_keys=True).replace(image, "example/busybox:1")
        text = _ADDRESS.sub(r"192.0.2.\1", text)
        (RECORDED / "failures" / f"{name}.json").write_text(text + "\n")
        print(name, flush=True)  # noqa: T201 - a script's output


if __name__ == "__main__":
    _main()
