"""Why pods are not ready, and what to do about it. Pure: from what the cluster reports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.state.snapshot import ClusterState, named

IMAGE = 30.0  # seconds in which a registry that does not answer may come back
PLACE = 90.0  # seconds in which a node may become free
VOLUME = 20.0  # seconds in which a volume may be made
CREATION = 15.0  # seconds in which pods that are going may make room in a quota
SANDBOX = 90.0  # seconds in which a node may get network and mounts right
START = 600.0  # seconds in which a pod may get to its node, have its image pulled and be made; or be gone
GROWTH = 900.0  # seconds in which a node may be added
_CONFIGURATION = 5.0  # seconds in which a Secret that was just made may reach a node
_EXITS = 2  # restarts after which it is final; the cluster backs off for long before the third
_TRIES = 3  # of a Job
_ASKED_TO_END = frozenset({0, 137, 143})  # exit codes of a container that was killed, or asked to end
_HOPELESS = re.compile(
    r"not found|manifest unknown|does not exist|unauthorized|denied|forbidden|no match for platform|invalid reference",
    re.IGNORECASE,
)
_LONGEST = 300  # characters of the cluster's words that are shown
_ROOM = "make room: fewer copies, smaller neighbours or more nodes; `kubectl describe nodes` shows what is taken"
_CLASSES = (
    "name one in the `--values` file (`storage: {class: NAME}`; `kubectl get storageclass` lists them), "
    "or `storage: {ephemeral: true}`"
)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is not ready. It is final once it has held for `patience` seconds.

    None: never by itself, since the cluster is about to do something else with it.
    """

    pod: str  # or what else it is about
    kind: str  # the same as long as it is the same reason, whatever its words are
    words: str  # what follows the name: "exited with code 3"
    patience: float | None = None
    hint: str = ""
    log: bool = False  # what it wrote says more
    previous: bool = False  # likewise, but the run before this one
    late: bool = False  # it runs, and its own answer says more
    still: bool = False  # nothing is wrong with it but how long it takes


def reasons(pods: Sequence[Object], seen: ClusterState, deadline: float) -> tuple[Reason, ...]:
    """Return why each pod is not ready, the worst first. `deadline` is how long a start may take, seconds."""
    found = [reason for pod in pods if (reason := of_pod(pod, seen, deadline)) is not None]
    return tuple(sorted(found, key=lambda each: (each.patience is None, each.patience or 0.0)))


def of_pod(pod: Object, seen: ClusterState, deadline: float) -> Reason | None:
    """Return why a pod is not ready; None when it is, or is going."""
    if pod["metadata"].get("deletionTimestamp") or is_ready(pod):
        return None
    name, status = pod["metadata"]["name"], pod.get("status", {})
    if status.get("phase") == "Failed" and status.get("reason"):  # as a whole: evicted, or its node is shut down
        return Reason(name, "evicted", f"was ended by its node: {_short(status.get('message') or status['reason'])}")
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return _unplaced(pod, scheduled, seen)
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        reason = _of_container(pod, container, seen, deadline)
        if reason is not None:
            return reason
    return unfinished(name, "accepted", "is on its way to a node")


def unfinished(name: str, kind: str, words: str, hint: str = "") -> Reason:
    """Return the reason of what goes on as it should, unless it does so for too long."""
    hint = hint or f"`kubectl describe pod {name}` shows what happened to it"
    return Reason(name, kind, words, START, hint, still=True)


def of_controller(each: Object, pods: Sequence[Object], seen: ClusterState) -> Reason | None:
    """Return why a controller makes no pods; None when it makes them."""
    name, kind = each["metadata"]["name"], each["kind"]
    text = ""
    if kind == "Deployment":
        text = condition(each, "ReplicaFailure").get("message", "")
    elif not pods:
        text = seen.warning(kind, each["metadata"].get("uid", ""), ("FailedCreate",))
    if not text:
        return None
    said = _short(re.sub(r"^(Error creating: |create Pod \S+ in \w+ \S+ failed error: )", "", text))
    if "violates PodSecurity" in text:
        return Reason(name, "refused", f"gets no pod: {said}", 0.0, "the namespace enforces Pod Security")
    if "exceeded quota" in text:
        hint = "raise the quota, or declare fewer copies; `kubectl describe quota` shows what is used"
        return Reason(name, "quota", f"gets no more pods: {said}", CREATION, hint)
    return Reason(name, "refused", f"gets no pod: {said}", CREATION)


def is_ready(pod: Object) -> bool:
    """Return whether a pod is ready and not terminating."""
    return not pod["metadata"].get("deletionTimestamp") and _condition(pod, "Ready").get("status") == "True"


def condition(each: Object, kind: str) -> dict[str, Any]:
    """Return a condition of an object that holds; {} when it does not."""
    found = _condition(each, kind)
    return found if found.get("status") == "True" else {}


def ending(terminated: Object) -> str:
    """Return how a container ended."""
    if terminated.get("reason") == "OOMKilled":
        return "was killed by the kernel: it used more memory than its limit"
    code = terminated.get("exitCode", 0)
    signal = f" (signal {code - 128})" if 128 < code < 160 else ""  # noqa: PLR2004 - the shells' custom
    return f"exited with code {code}{signal}"


def _of_container(pod: Object, status: Object, seen: ClusterState, deadline: float) -> Reason | None:
    state = status.get("state", {})
    if "waiting" in state:
        return _waiting(pod, status, seen, deadline)
    if "terminated" in state:
        is_init = status in pod["status"].get("initContainerStatuses", ())
        done = is_init and state["terminated"].get("exitCode") == 0
        return None if done else _ended(pod, status, state["terminated"], seen, deadline)
    if "running" in state and not status.get("ready"):
        last = status.get("lastState", {}).get("terminated")
        if last and status.get("restartCount", 0) >= _EXITS:
            return _ended(pod, status, last, seen, deadline)
        return _late(pod, status, seen, deadline)
    return None


def _waiting(pod: Object, status: Object, seen: ClusterState, deadline: float) -> Reason:
    name, waiting = pod["metadata"]["name"], status["state"]["waiting"]
    reason, text = waiting.get("reason", ""), _short(waiting.get("message", ""))
    match reason:
        case "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError":
            return _unpulled(pod, status, reason, text, seen)
        case "CrashLoopBackOff":
            last = status.get("lastState", {}).get("terminated") or {}
            return _ended(pod, status, last, seen, deadline)
        case "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" | "StartError":
            return Reason(name, "unmade", f"cannot be started: {text or reason}", _CONFIGURATION, _missing(text))
        case _:
            trouble = seen.warning("Pod", pod["metadata"]["uid"], ("FailedMount", "FailedAttachVolume", _SANDBOX))
            if trouble:
                return Reason(name, "mounts", f"cannot be started: {_short(trouble)}", SANDBOX, _missing(trouble))
            doing = "runs its preparations" if reason == "PodInitializing" else "is being made on its node"
            return unfinished(name, "made", doing)


_SANDBOX = "FailedCreatePodSandBox"


def _missing(text: str) -> str:
    if re.search(r"no such file or directory|executable file not found", text):
        return "is its command in its image?"
    return "`stepflow resume` makes what is missing" if re.search(r"(secret|configmap) .*not found", text) else ""


def _unpulled(pod: Object, status: Object, reason: str, text: str, seen: ClusterState) -> Reason:
    """Return why an image cannot be pulled, from the pull's own error: a back-off does not repeat it."""
    pulled = seen.warning("Pod", pod["metadata"]["uid"], ("Failed", "InspectFailed"), containing="ull image")
    said = pulled if "Back-off" in text or not text else text
    said = re.sub(r'^Failed to pull image "[^"]*": ', "", said)
    said = re.sub(r"^(rpc error: code = \w+ desc = )", "", said)
    hopeless = reason in {"InvalidImageName", "ErrImageNeverPull"} or _HOPELESS.search(said) is not None
    hint = "does it exist, and may the nodes pull it? `--registry` pushes what is built; `--image` names another"
    words = f"cannot have the image `{status.get('image', '')}`: {_short(said) or reason}"
    return Reason(pod["metadata"]["name"], "image", words, 0.0 if hopeless else IMAGE, hint)


def _ended(pod: Object, status: Object, terminated: Object, seen: ClusterState, deadline: float) -> Reason:
    """Return how it ended; a first failure may be transient, and the cluster restarts it."""
    name, state = pod["metadata"]["name"], status.get("state", {})
    asked = terminated.get("exitCode", 0) in _ASKED_TO_END and terminated.get("reason") != "OOMKilled"
    failing = seen.warning("Pod", pod["metadata"]["uid"], ("Unhealthy",), containing="Startup probe failed")
    if asked and failing:
        words = f"is not ready after {deadline:g} s; the last answer: {probed(failing)}"
        return Reason(name, "late", words, 0.0, log=True, previous=True)
    known = "terminated" not in state
    hint = "give it more memory" if terminated.get("reason") == "OOMKilled" else ""
    tried = pod["spec"].get("restartPolicy") != "Always"  # a Job's, which may find what it needs the next time
    if tried and terminated.get("exitCode", 0) == 0:
        return Reason(name, "done", "has completed")
    exits = status.get("restartCount", 0) + ("running" not in state)
    final = exits >= (_TRIES if tried else _EXITS)
    words = ending(terminated) + ("" if final else "; restarting")
    return Reason(name, "ended", words, 0.0 if final else None, hint, log=True, previous=known)


def _late(pod: Object, status: Object, seen: ClusterState, deadline: float) -> Reason:
    name = pod["metadata"]["name"]
    if status.get("started") and pod["status"].get("phase") == "Running" and not _probed(pod, status):
        return Reason(name, "late", "runs", deadline, log=True)
    failing = seen.warning("Pod", pod["metadata"]["uid"], ("Unhealthy",))
    words = probed(failing) if failing else "has not answered yet"
    return Reason(name, "late", words, deadline, log=True, late=True)


def _probed(pod: Object, status: Object) -> bool:
    return any("readinessProbe" in each for each in pod["spec"]["containers"] if each["name"] == status.get("name"))


def probed(text: str) -> str:
    """Return what a probe's event says: 'Readiness probe failed: HTTP probe failed with statuscode: 503'."""
    found = re.match(r"(\w+) probe (?:failed|errored)[^:]*: (.*)", text, re.DOTALL)
    which, said = (found[1].lower(), found[2]) if found else ("", text)
    status = re.search(r"statuscode: (\d+)", said)
    if status:
        return f"the {which} probe answers {status[1]}"
    if "connection refused" in said:
        return f"the {which} probe finds nothing that listens yet"
    if "context deadline exceeded" in said or "timeout" in said.lower():
        return f"the {which} probe has no answer in time"
    return f"the {which} probe fails: {_short(said)}" if which else _short(said)


def _unplaced(pod: Object, scheduled: Object, seen: ClusterState) -> Reason:
    name, said = pod["metadata"]["name"], scheduled.get("message", "")
    text = _short(re.sub(r"( no new claims to deallocate,)? preemption: .*", "", said))
    for claim in _claims(pod, seen):
        if claim.get("status", {}).get("phase") == "Bound":
            continue
        its, failing = claim["metadata"]["name"], seen.warning("PersistentVolumeClaim", claim["metadata"]["uid"])
        if not claim["spec"].get("storageClassName"):
            words = f"waits for the volume `{its}`, and the cluster has no default StorageClass"
            return Reason(name, "volume", words, VOLUME, _CLASSES)
        if failing:
            words = f"waits for the volume `{its}`, which cannot be made: {_short(failing)}"
            return Reason(name, "volume", words, VOLUME, _CLASSES)
    if scheduled.get("reason") != "Unschedulable":
        return unfinished(name, "placed", "waits for a node")
    growing = seen.told("Pod", pod["metadata"]["uid"], ("TriggeredScaleUp", "Nominated"))
    patience = GROWTH if growing else PLACE
    return Reason(name, "placed", f"cannot be placed on any node: {text}", patience, _ROOM)


def _claims(pod: Object, seen: ClusterState) -> Iterator[Object]:
    for volume in pod["spec"].get("volumes") or ():
        wanted = volume.get("persistentVolumeClaim", {}).get("claimName")
        claim = named(seen.of("PersistentVolumeClaim"), wanted) if wanted else None
        if claim is not None:
            yield claim


def _condition(each: Object, kind: str) -> dict[str, Any]:
    conditions = each.get("status", {}).get("conditions") or ()
    return next((found for found in conditions if found["type"] == kind), {})


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
