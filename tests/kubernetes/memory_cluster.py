"""A cluster in memory: it keeps objects, what it is told to run is ready at once, and it records what was changed."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from onenode.apply import merge_patched
from onenode.defaults import with_defaults

from stepflow.errors import PermanentError
from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired, Site, discard
from stepflow.targets.images import image
from stepflow.targets.kubernetes.api.client import MANAGER, Client
from stepflow.targets.kubernetes.api.kinds import OF_THE_CLUSTER, Object, key
from stepflow.targets.kubernetes.converge.execute import apply
from stepflow.targets.kubernetes.converge.reconcile import plan
from stepflow.targets.kubernetes.converge.where import Where
from stepflow.targets.kubernetes.loading.images import Supply
from stepflow.targets.kubernetes.manifests.names import HOST
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.targets.kubernetes.state.session import ClusterSession

_LABELS = {"Deployment": "pod-template-hash", "StatefulSet": "controller-revision-hash"}
REVISION = "deployment.kubernetes.io/revision"


@dataclass
class MemoryCluster:
    """The client of one namespace; `asked` holds each call that changed something: verb and object."""

    there: dict[str, Object] = field(default_factory=dict)
    asked: list[tuple[str, Object]] = field(default_factory=list)
    clock: int = 0
    context: str = "memory"
    removed: str = ""  # what was removed last
    leaving: dict[str, int] = field(default_factory=dict)  # how often it was looked at since
    failing: str = ""  # pods whose template has this text end at their start
    refused: str = ""  # an object that cannot be applied
    waiting: str = "CrashLoopBackOff"  # what those wait in

    async def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """Return an object; one that is being removed is gone at the second look."""
        del api_version, namespace
        found = self.there.get(f"{kind}/{name}")
        if found and found["metadata"].get("deletionTimestamp"):
            self.leaving[key(found)] = self.leaving.get(key(found), 0) + 1
            if self.leaving[key(found)] > 1:
                del self.leaving[key(found)]
                self.drop(key(found))
        return copy.deepcopy(found)

    async def list(self, api_version: str, kind: str, namespace: str = "", labels: str = "") -> list[Object]:
        del api_version, namespace
        pairs = [pair.split("=") for pair in labels.split(",") if pair]
        found = (each for each in self.there.values() if each["kind"] == kind)
        return [
            copy.deepcopy(each)
            for each in found
            if all((each["metadata"].get("labels") or {}).get(name) == value for name, value in pairs)
        ]

    async def apply(self, wanted: Object, *, force: bool = False, manager: str = MANAGER) -> Object:
        if key(wanted) == self.refused:
            raise PermanentError("cut off")
        self.asked.append(("apply", copy.deepcopy(wanted)))
        there = self.there.get(key(wanted))
        assert force or there is None, f"{key(wanted)} exists"
        if manager != MANAGER:
            assert there is not None, f"{key(wanted)} does not exist"
            there["spec"]["replicas"] = wanted["spec"]["replicas"]
        else:
            self.put(wanted)
        self.settle()
        return copy.deepcopy(self.there[key(wanted)])

    async def patch(self, there: Object, changes: Object) -> Object:
        self.asked.append(("patch", there))
        live = self.there[key(there)]
        live |= merge_patched(live, changes)
        self.settle()
        return there

    async def delete(self, there: Object, *, grace: int | None = None, policy: str = "Background") -> None:
        del grace
        self.asked.append(("delete", there))
        self.removed = key(there)
        self.drop(key(there), cascade=policy != "Orphan")
        self.settle()

    async def stream(self, path: str, query: list[tuple[str, str]]) -> AsyncIterator[bytes]:
        """Yield the log of a pod."""
        assert (path.endswith("/log"), query[0][0]) == (True, "tailLines")
        yield b"cannot go on\n"

    def drop(self, name: str, *, cascade: bool = True) -> None:
        """Let an object be gone, and with it what was made for it."""
        gone = self.there.pop(name, None)
        if gone and gone["kind"] == "Namespace":
            self.there = {other: each for other, each in self.there.items() if each["kind"] in OF_THE_CLUSTER}
        for each in list(self.there.values()) if gone and cascade else ():
            if gone and _made_by(each, gone):
                self.there.pop(key(each), None)

    def put(self, wanted: Object) -> None:
        """Have an object as the API keeps it."""
        made, before = with_defaults(copy.deepcopy(wanted)), self.there.get(key(wanted))
        texts = made.pop("stringData", None)
        if texts:
            made["data"] = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
        self.clock += 1
        when = f"2026-11-23T00:{self.clock // 60:02}:{self.clock % 60:02}Z"
        meta = {"uid": f"{key(made)}-{self.clock}", "creationTimestamp": when, "generation": 1}
        kept = {name: before["metadata"][name] for name in meta} if before else meta
        made["metadata"] |= kept
        if made["kind"] == "Deployment":
            had = before["spec"]["replicas"] if before else 1
            made["spec"]["replicas"] = wanted["spec"].get("replicas", had)
        self.there[key(made)] = made

    def settle(self) -> None:
        """Do at once what controllers do."""
        for each in list(self.there.values()):
            if each["kind"] in _LABELS:
                self._controller(each)
            elif each["kind"] == "Job":
                each["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}

    def _controller(self, each: Object) -> None:
        kind, name, spec = each["kind"], each["metadata"]["name"], each["spec"]
        template = hashlib.sha256(json.dumps(spec["template"], sort_keys=True).encode()).hexdigest()[:8]
        keeper = "ReplicaSet" if kind == "Deployment" else "ControllerRevision"
        revision = f"{name}-{template}"
        label, owner = _LABELS[kind], {"uid": each["metadata"]["uid"], "kind": kind}
        if f"{keeper}/{revision}" not in self.there:
            self._keep(keeper, revision, each, {label: template}, owner)
        kept = self.there[f"{keeper}/{revision}"]
        kept["metadata"]["ownerReferences"] = [owner]
        if kind == "Deployment":
            number = kept["metadata"]["annotations"][REVISION]
            each["metadata"].setdefault("annotations", {})[REVISION] = number
        count = spec.get("replicas", 1)
        hashed = template if kind == "Deployment" else revision
        names = [f"{name}-{number}" for number in range(count)]
        for pod in (self.there[f"Pod/{pod}"] for pod in names if f"Pod/{pod}" in self.there):
            pod["metadata"]["ownerReferences"] = [owner]  # one that was left alone is adopted
        mine = [pod for pod in self.there.values() if pod["kind"] == "Pod" and _made_by(pod, each)]
        others = [pod for pod in mine if pod["metadata"]["labels"][label] != hashed]
        if kind == "StatefulSet" and any(map(_fails, others)):  # it waits for a pod that does not get ready
            each["status"] = {"observedGeneration": 1, "replicas": len(mine), "updateRevision": revision}
        elif self.failing and self.failing in json.dumps(spec["template"]):
            self._failing(each, mine, {label: hashed}, revision)
        else:
            for pod in [pod for pod in mine if pod in others or pod["metadata"]["name"] not in names]:
                del self.there[key(pod)]
            self._running(each, names, {label: hashed}, revision)

    def _running(self, each: Object, names: list[str], labels: dict[str, str], revision: str) -> None:
        """Have all pods ready, with their volumes."""
        for pod_name in names:
            if f"Pod/{pod_name}" not in self.there:
                self._pod(pod_name, each, labels, {"uid": each["metadata"]["uid"], "kind": each["kind"]})
        for claim in each["spec"].get("volumeClaimTemplates", ()):
            for pod_name in names:
                whole = f"{claim['metadata']['name']}-{pod_name}"
                if f"PersistentVolumeClaim/{whole}" not in self.there:
                    meta = {"name": whole, "labels": claim["metadata"]["labels"]}
                    self.put({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": {}})
        counts = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), len(names))
        each["status"] = {"observedGeneration": 1, **counts, "updateRevision": revision}

    def _failing(self, each: Object, before: list[Object], labels: dict[str, str], revision: str) -> None:
        """Start one pod that fails: one more of a Deployment, in place of the last one of a StatefulSet."""
        name, count, kind = each["metadata"]["name"], each["spec"].get("replicas", 1), each["kind"]
        pod = f"{name}-{count if kind == 'Deployment' else count - 1}"
        if f"Pod/{pod}" not in self.there or kind == "StatefulSet":
            self._pod(pod, each, labels, {"uid": each["metadata"]["uid"], "kind": kind})
        last = {"terminated": {"exitCode": 3, "reason": "Error"}}
        waiting = {"state": {"waiting": {"reason": self.waiting}}}
        self.there[f"Pod/{pod}"]["status"] = {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [{"name": name, "ready": False, "restartCount": 5, "lastState": last, **waiting}],
        }
        counts = {"replicas": len(before) + 1, "availableReplicas": len(before), "updatedReplicas": 1}
        each["status"] = {"observedGeneration": 1, **counts, "updateRevision": revision}

    def _keep(self, kind: str, name: str, each: Object, labels: dict[str, str], owner: Object) -> None:
        self.clock += 1
        meta = {
            "name": name,
            "labels": {**each["metadata"]["labels"], **labels},
            "annotations": {REVISION: str(self.clock)},
            "ownerReferences": [owner],
        }
        body = (
            {"revision": self.clock, "data": {"spec": {"template": each["spec"]["template"]}}}
            if kind == "ControllerRevision"
            else {"spec": {"template": each["spec"]["template"]}}
        )
        self.put({"apiVersion": "apps/v1", "kind": kind, "metadata": meta, **body})

    def _pod(self, name: str, each: Object, labels: dict[str, str], owner: Object) -> None:
        given = each["spec"]["template"]["metadata"]
        meta = {"name": name, "labels": {**given["labels"], **labels}, "ownerReferences": [owner]}
        meta |= {"annotations": dict(given.get("annotations") or {})}
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        spec = each["spec"]["template"]["spec"]
        self.put({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status})


def _fails(pod: Object) -> bool:
    return any(each["status"] == "False" for each in pod["status"]["conditions"])


def _made_by(pod: Object, each: Object) -> bool:
    return any(one["uid"] == each["metadata"]["uid"] for one in pod["metadata"].get("ownerReferences", ()))


@dataclass
class _Images:
    """Images that are built of whatever is rendered now, and official ones that nodes pull."""

    site: Site
    who: KubernetesIdentity
    source: str = "1"
    asked: list[tuple[str, str]] = field(default_factory=list)  # see `Shop.provided`

    async def built(self, context: str, say: object) -> str:
        del say
        self.asked.append(("build", context))
        registry = self.site.options.get("registry", "")
        self.asked.append(("push" if registry else "load", context))
        return f"{registry or HOST}/{self.who.platform if registry else self.who.prefix}/{context}:{self.source}"

    async def remove_superseded(self, context: str, *, keep: str) -> None:
        assert keep.endswith(f"/{context}:{self.source}")
        self.asked.append(("remove older", context))

    async def loaded(self, reference: str, say: object) -> None:
        del say
        self.asked.append(("load", reference.rpartition("/")[2].partition(":")[0]))

    async def official(self, name: str, say: object) -> str:
        del say
        self.asked.append(("load", name))
        return image(name, self.site.options).qualified


@dataclass
class Shop:
    """A platform in such a cluster."""

    folder: Path
    options: dict[str, str] = field(default_factory=dict)
    cluster: MemoryCluster = field(default_factory=MemoryCluster)
    source: str = "1"

    provided: list[tuple[str, str]] = field(default_factory=list)  # what was done, and with which image

    def session(self) -> ClusterSession:
        who = KubernetesIdentity("shop", "0a1b2c", self.folder)
        for each in (who.secrets, who.logs):
            each.mkdir(exist_ok=True)
        site = Site("shop", self.folder, self.folder / "out", self.options)
        made = ClusterSession.of(site, who, cast("Client", self.cluster), self.options.get("namespace", who.prefix))
        return replace(made, supply=cast("Supply", _Images(site, who, self.source, self.provided)))

    async def plan(self, desired: Desired) -> tuple[Action, ...]:
        session = self.session()
        seen = await session.everything.next()
        return plan(desired, seen, Where(session.site, session.identity, session.namespace))

    async def printed(self, desired: Desired) -> list[str]:
        return [str(each) for each in await self.plan(desired)]

    async def run(self, desired: Desired) -> list[str]:
        """Carry out what is desired; return the lines of what was executed."""
        return [str(each) for each in await apply(self.session(), desired, discard)]

    def edit(self, name: str, *path: Any, to: Any) -> None:  # noqa: ANN401 - JSON
        """Change a field of an object as someone with `kubectl edit` does; `None` removes it."""
        holder: Any = self.cluster.there[name]
        for step in path[:-1]:
            holder = holder[step]
        if to is None:
            del holder[path[-1]]
        else:
            holder[path[-1]] = to
        self.cluster.settle()
