"""A Job starts pods until enough of them have succeeded, or too many failed."""

from __future__ import annotations

from onenode.controllers.ownership import age, ended, leaving, new_pod, owned_by, with_conditions
from onenode.kinds import BY_NAME, Object
from onenode.managers import now
from onenode.objects import Objects
from onenode.statuses import RefusedError

_NAME = "job-controller"
_REASONS = {
    "BackoffLimitExceeded": "Job has reached the specified backoff limit",
    "DeadlineExceeded": "Job was active longer than specified deadline",
}


def control(objects: Objects) -> None:
    """Start pods, and say how the Job ended."""
    for body in objects.store.list("Job"):
        if leaving(body):
            continue
        over = [each for each in body["status"].get("conditions", ()) if each["type"] in {"Complete", "Failed"}]
        if over:
            _forget(objects, body, over[0])
        elif not body["spec"]["suspend"]:
            _run(objects, body)


def _run(objects: Objects, body: Object) -> None:
    spec, status = body["spec"], body["status"]
    pods = owned_by(objects, body, "Pod")
    done, failed = (
        [pod for pod in pods if pod.get("status", {}).get("phase") == how] for how in ("Succeeded", "Failed")
    )
    active = [pod for pod in pods if not ended(pod) and not leaving(pod)]
    begun = status.get("startTime") or now()
    objects.status(
        body, startTime=begun, active=len(active) or None, succeeded=len(done) or None, failed=len(failed) or None,
        ready=0, terminating=0, uncountedTerminatedPods={},
    )  # fmt: skip
    if len(done) >= spec["completions"]:
        said = "Reached expected number of succeeded pods"
        objects.event(body, "Completed", "Job completed", _NAME)
        _end(objects, body, ("SuccessCriteriaMet", "Complete"), "CompletionsReached", said, completionTime=now())
    elif "activeDeadlineSeconds" in spec and age(begun) > spec["activeDeadlineSeconds"]:
        _fail(objects, body, active, "DeadlineExceeded")
    elif len(failed) + _restarts(active) > spec["backoffLimit"]:
        _fail(objects, body, active, "BackoffLimitExceeded")
    elif len(active) < min(spec["parallelism"], spec["completions"] - len(done)):
        try:
            made = objects.create(new_pod(body, spec["template"]), "kube-controller-manager")
        except RefusedError as error:
            objects.event(body, "FailedCreate", f"Error creating: {error}", _NAME, warning=True)
            raise
        objects.event(body, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}", _NAME)


def _restarts(pods: list[Object]) -> int:
    statuses = (each for pod in pods for each in pod.get("status", {}).get("containerStatuses", ()))
    return sum(each["restartCount"] for each in statuses)


def _fail(objects: Objects, body: Object, active: list[Object], reason: str) -> None:
    for pod in active:
        objects.delete(BY_NAME["Pod"], pod["metadata"]["namespace"], pod["metadata"]["name"])
        objects.event(body, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}", _NAME)
    objects.event(body, reason, _REASONS[reason], _NAME, warning=True)
    _end(objects, body, ("FailureTarget", "Failed"), reason, _REASONS[reason])


def _end(objects: Objects, body: Object, kinds: tuple[str, str], reason: str, said: str, **more: str) -> None:
    made = [
        {"type": kind, "status": "True", "reason": reason, "message": said, "lastProbeTime": now()} for kind in kinds
    ]
    objects.status(body, conditions=with_conditions(body, *made), active=None, **more)


def _forget(objects: Objects, body: Object, how: Object) -> None:
    patience = body["spec"].get("ttlSecondsAfterFinished")
    if patience is not None and age(how["lastTransitionTime"]) > patience:
        objects.delete(BY_NAME["Job"], body["metadata"]["namespace"], body["metadata"]["name"])
