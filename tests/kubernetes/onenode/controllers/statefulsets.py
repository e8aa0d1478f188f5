"""A StatefulSet keeps pods with names and volumes of their own, one after the other or all at once."""

from __future__ import annotations

import json

from onenode.controllers.ownership import ended, fingerprint, leaving, new_pod, owned_by, ready, reference
from onenode.kinds import BY_NAME, Object
from onenode.objects import Objects

_HASH = "controller-revision-hash"


def control(objects: Objects) -> None:
    """Make, delete and replace pods."""
    for body in objects.store.list("StatefulSet"):
        pods = {_ordinal(pod): pod for pod in owned_by(objects, body, "Pod")}
        revision = f"{body['metadata']['name']}-{fingerprint(body['spec']['template'])}"
        if not leaving(body):
            _note(objects, body, revision)
            _reach(objects, body, pods, revision)
        _tell(objects, body, revision)


def _note(objects: Objects, body: Object, name: str) -> None:
    """Keep the template, so that it can be gone back to."""
    kept = owned_by(objects, body, "ControllerRevision")
    latest = max((each["revision"] for each in kept), default=0)
    found = next((each for each in kept if each["metadata"]["name"] == name), None)
    template = body["spec"]["template"]
    if found is None:
        objects.create({
            "apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": latest + 1,
            "metadata": {
                "name": name, "namespace": body["metadata"]["namespace"], "ownerReferences": [reference(body)],
                "labels": {**template["metadata"]["labels"], "controller.kubernetes.io/hash": name.rpartition("-")[2]},
            },
            "data": {"spec": {"template": {**template, "$patch": "replace"}}},
        }, "kube-controller-manager")  # fmt: skip
    elif found["revision"] < latest:
        objects.store.put({**found, "revision": latest + 1})


def _ordinal(pod: Object) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])


def _reach(objects: Objects, body: Object, pods: dict[int, Object], revision: str) -> None:
    """Do what is next: what is missing is made, what is too much or old goes, the last one first."""
    wanted = body["spec"]["replicas"]
    together = body["spec"]["podManagementPolicy"] == "Parallel"
    for number in range(wanted):
        pod = pods.get(number)
        if pod is None:
            _make(objects, body, number, revision)
        elif ended(pod) and not leaving(pod):
            objects.delete(
                BY_NAME["Pod"], body["metadata"]["namespace"], pod["metadata"]["name"], {"gracePeriodSeconds": 0}
            )
        if not together and not (pod and ready(pod)):
            if pod and not leaving(pod) and pod["metadata"]["labels"][_HASH] != revision:
                _delete(objects, pod)  # one that was broken, and is mended by what is new
            return
    for number in sorted((each for each in pods if each >= wanted), reverse=True):
        if not leaving(pods[number]):
            _delete(objects, pods[number])
        if not together:
            return
    _replace(objects, body, pods, revision)


def _replace(objects: Objects, body: Object, pods: dict[int, Object], revision: str) -> None:
    strategy = body["spec"]["updateStrategy"]
    first = strategy.get("rollingUpdate", {}).get("partition", 0)
    if strategy["type"] != "RollingUpdate":
        return
    for number in sorted((each for each in pods if first <= each < body["spec"]["replicas"]), reverse=True):
        pod = pods[number]
        if leaving(pod):
            return
        if pod["metadata"]["labels"][_HASH] != revision:
            _delete(objects, pod)
            return
        if not ready(pod):
            return


def _delete(objects: Objects, pod: Object) -> None:
    objects.delete(BY_NAME["Pod"], pod["metadata"]["namespace"], pod["metadata"]["name"])


def _make(objects: Objects, body: Object, number: int, revision: str) -> None:
    name, namespace = f"{body['metadata']['name']}-{number}", body["metadata"]["namespace"]
    labels = {_HASH: revision, "statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": str(number)}
    pod = new_pod(body, body["spec"]["template"], name, labels=labels)
    pod["spec"] |= {"hostname": name, "subdomain": body["spec"].get("serviceName", "")}
    for template in body["spec"].get("volumeClaimTemplates", ()):
        claim = json.loads(json.dumps(template))
        volume = claim["metadata"]["name"]
        claim["metadata"] |= {"name": f"{volume}-{name}", "namespace": namespace}
        claim["metadata"]["labels"] = {
            **body["spec"]["selector"].get("matchLabels", {}),
            **claim["metadata"].get("labels", {}),
        }
        if objects.store.find("PersistentVolumeClaim", namespace, claim["metadata"]["name"]) is None:
            claim.pop("status", None)
            objects.create(claim, "kube-controller-manager")
        source = {"name": volume, "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
        others = [each for each in pod["spec"].get("volumes", ()) if each["name"] != volume]
        pod["spec"]["volumes"] = [*others, source]
    objects.create(pod, "kube-controller-manager")
    said = f"create Pod {name} in StatefulSet {body['metadata']['name']} successful"
    objects.event(body, "SuccessfulCreate", said, "statefulset-controller")


def _tell(objects: Objects, body: Object, revision: str) -> None:
    pods = [pod for pod in owned_by(objects, body, "Pod") if not leaving(pod)]
    able = sum(ready(pod) for pod in pods)
    updated = sum(pod["metadata"]["labels"][_HASH] == revision for pod in pods)
    done = updated == body["spec"]["replicas"] == able
    objects.status(
        body, observedGeneration=body["metadata"]["generation"], replicas=len(pods), readyReplicas=able or None,
        availableReplicas=able, updatedReplicas=updated or None, updateRevision=revision, collisionCount=0,
        currentRevision=revision if done else body["status"].get("currentRevision", revision),
        currentReplicas=(updated if done else len(pods) - updated) or None,
    )  # fmt: skip
