"""A pod's status out of what its containers do."""

from __future__ import annotations

from dataclasses import dataclass, field

from onenode.controllers.ownership import with_conditions
from onenode.kinds import Object
from onenode.managers import now
from onenode.objects import Objects


@dataclass(slots=True)
class Run:
    """What is known of one container of a pod."""

    spec: Object
    state: Object = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last: Object = field(default_factory=dict)
    id: str = ""
    image: str = ""
    previous: str = ""  # the container that ran before
    restarts: int = 0
    started: bool = False
    ready: bool = False

    def waits(self, reason: str, message: str = "") -> None:
        """It does not run, and why."""
        self.state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        self.started = self.ready = False

    def runs(self, identity: str) -> None:
        """It runs; without probes that is all that is asked."""
        self.id, self.state = identity, {"running": {"startedAt": now()}}
        self.started = "startupProbe" not in self.spec
        self.ready = self.started and "readinessProbe" not in self.spec

    def ended(self, code: int, begun: str, *, reason: str = "", message: str = "", memory: bool = False) -> None:
        """It does not run any more."""
        why = reason or ("OOMKilled" if memory else "Error" if code else "Completed")
        told: Object = {
            "exitCode": code,
            "reason": why,
            "startedAt": begun,
            "finishedAt": now(),
            "containerID": f"docker://{self.id}",
        }
        self.state = {"terminated": told | ({"message": message} if message else {})}
        self.started = self.ready = False

    @property
    def code(self) -> int | None:
        """The exit code; None while it has none."""
        done = self.state.get("terminated")
        return None if done is None else int(done["exitCode"])

    def told(self) -> Object:
        """Give it as a container status."""
        return {
            "name": self.spec["name"], "image": self.spec["image"], "imageID": self.image, "state": self.state,
            "lastState": self.last, "ready": self.ready, "started": self.started, "restartCount": self.restarts,
        } | ({"containerID": f"docker://{self.id}"} if self.id else {})  # fmt: skip


def tell(objects: Objects, pod: Object, address: str, first: list[Run], runs: list[Run]) -> None:
    """Write a pod's status."""
    live = objects.store.find("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
    if live is None or live["metadata"]["uid"] != pod["metadata"]["uid"]:
        return
    phase = _phase(pod, first, runs)
    begun = not first or all(each.code == 0 for each in first)
    able = phase == "Running" and all(each.ready for each in runs)
    objects.status(
        live, phase=phase, podIP=address or None, podIPs=[{"ip": address}] if address else None, hostIP="127.0.0.1",
        startTime=live["status"].get("startTime", now()), qosClass="Burstable",
        containerStatuses=[each.told() for each in runs],
        initContainerStatuses=[each.told() for each in first] or None,
        conditions=_conditions(live, runs, phase=phase, begun=begun, able=able),
    )  # fmt: skip


def _phase(pod: Object, first: list[Run], runs: list[Run]) -> str:
    policy, codes = pod["spec"]["restartPolicy"], [each.code for each in runs]
    if policy == "Never" and any(each.code not in (0, None) for each in first):
        return "Failed"
    if policy != "Always" and all(code is not None for code in codes):
        if all(code == 0 for code in codes):
            return "Succeeded"
        if policy == "Never":
            return "Failed"
    return "Running" if any(each.id for each in runs) else "Pending"


def _conditions(pod: Object, runs: list[Run], *, phase: str, begun: bool, able: bool) -> list[Object]:
    why: Object = {}
    if phase == "Succeeded":
        why = {"reason": "PodCompleted"}
    elif phase == "Failed":
        why = {"reason": "PodFailed"}
    elif not able:
        names = " ".join(each.spec["name"] for each in runs if not each.ready)
        why = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{names}]"}
    truth = {True: "True", False: "False"}
    others = [each for each in pod["status"].get("conditions", ()) if each["type"] not in {"Ready", "ContainersReady"}]
    before = {**pod, "status": {"conditions": pod["status"].get("conditions", [])}}
    return with_conditions(
        before,
        *others,
        {"type": "Initialized", "status": truth[begun]},
        {"type": "Ready", "status": truth[able], **why},
        {"type": "ContainersReady", "status": truth[able], **why},
    )
