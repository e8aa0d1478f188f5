"""What a rollout or a Job is waited for, and the real reason when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from urllib.parse import quote

from stepflow.errors import PermanentError, StepflowError
from stepflow.targets.converge import Answer, Say, wait
from stepflow.targets.kubernetes.api.errors import ClusterRefusedError
from stepflow.targets.kubernetes.api.kinds import Object, Objects
from stepflow.targets.kubernetes.state.diagnose import Reason, condition, is_ready, of_controller, reasons, unfinished
from stepflow.targets.kubernetes.state.progress import RolloutStatus, overdue, rollout_status
from stepflow.targets.kubernetes.state.session import ClusterSession
from stepflow.targets.kubernetes.state.snapshot import ClusterState, owned_by, owner_of

LINES = 15  # of the log that an error shows
_STUCK = 5.0  # seconds after which a pod of an outdated template that is not ready is replaced
_ANSWER = 3.0  # seconds that a pod has for an answer
_LONGEST = 200  # characters of an answer that are shown
_IDLE = "idle"  # kind of reason: nothing is seen to go on
_PROGRESS = 600  # seconds that a cluster gives a Deployment that does not say


class NotReadyError(PermanentError):
    """A rollout does not become ready."""


async def rolled_out(
    session: ClusterSession, kind: str, name: str, deadline: float, say: Say, *, unstick: bool = False
) -> tuple[Object, str]:
    """Wait until all pods of a controller are of its newest template and ready; return it and that template's name.

    With `unstick`, pods of other templates that are not ready are deleted: a StatefulSet would wait for them for ever.
    Raises `NotReadyError` with the reason: at once where waiting cannot help, else once it has held for too long; a
    pod that runs has `deadline` seconds to get ready.
    """
    rollout = _Rollout(session, kind, name, deadline, unstick)
    await wait(name, rollout.look, deadline=inf, step=0, say=say, failure=rollout.failure)
    assert rollout.controller is not None
    return rollout.controller, rollout.status.template


async def finished(session: ClusterSession, name: str, what: str, say: Say) -> None:
    """Wait until a Job has succeeded; `what` it does in words. Raises `NotReadyError` when it fails."""
    job = _JobRun(session, name, what)
    await wait(what, job.look, deadline=inf, step=0, say=say, failure=job.failure)


class _Rollout:
    """A controller on its way to the newest template. The session's snapshots set the pace of its looks."""

    def __init__(self, session: ClusterSession, kind: str, name: str, deadline: float, unstick: bool) -> None:  # noqa: FBT001 - named where it is decided
        self._session, self._kind, self._name, self._deadline, self._unstick = session, kind, name, deadline, unstick
        self._patience = _Patience()
        self._idle = _idle(name, kind)
        self._final = self._idle
        self.controller: Object | None = None
        self.status = RolloutStatus(done=False, desired=0)

    async def look(self) -> Answer:
        """Return how far it is, and why it is not further."""
        seen = await self._session.running.next()
        each = self.controller = seen.named(self._kind, self._name)
        if each is None:
            hint = "something removed it; run again"
            raise PermanentError(f"{self._kind} `{self._name}` disappeared while stepflow waited for it", hint=hint)
        now = self.status = rollout_status(each, seen)
        if now.done:
            return Answer(ready=True, text="")
        found: list[Reason] = []
        if now.seen:
            await self._delete_stuck(now)
            found = _troubles(each, now.pods, seen, self._deadline)
        found = found or _going(seen, owner_of(each))
        final = self._patience.lost(found or [self._idle], [*now.pods, *now.outdated])
        if final is None and now.seen and self._patience.overdue(each):
            allowed = each["spec"].get("progressDeadlineSeconds", _PROGRESS)
            final = replace(next(iter(found), self._idle), patience=allowed)
        self._final = final or self._final
        text = _said(f"{now.ready} of {now.desired} ready", found)
        return Answer(ready=False, text=text, failed=final is not None)

    async def failure(self, *_: object) -> NotReadyError:
        """Return the error for the reason that is final."""
        owner = owner_of(self.controller) if self.controller else self._name
        return await failure(self._session, owner, self._final, self.status.pods)

    async def _delete_stuck(self, now: RolloutStatus) -> None:
        for pod in now.outdated if self._unstick else ():
            about = pod["metadata"]["name"], pod["metadata"]["uid"]
            if not is_ready(pod) and self._patience.held(about) >= _STUCK:
                await self._session.client.delete(pod)


class _JobRun:
    """A Job on its way to its end."""

    def __init__(self, session: ClusterSession, name: str, what: str) -> None:
        self._session, self._name, self._what = session, name, what
        self._patience = _Patience()
        self._final = Reason(name, "failed", f"({what}) failed")
        self._owner, self._pods = "", list[Object]()

    async def look(self) -> Answer:
        """Return what it waits for."""
        seen = await self._session.running.next()
        job = seen.named("Job", self._name)
        if job is None:
            raise PermanentError(f"the job `{self._name}` disappeared while stepflow waited for it", hint="run again")
        if condition(job, "Complete"):
            return Answer(ready=True, text="")
        self._owner, self._pods = owner_of(job), [pod for pod in seen.of("Pod") if owned_by(pod, job)]
        going = [pod for pod in self._pods if pod.get("status", {}).get("phase") in {"Pending", "Running"}]
        found = _troubles(job, going, seen, inf)
        idle = [] if found or going else [_idle(self._name, "Job")]
        final = self._failed(job) or self._patience.lost(found or idle, going)
        self._final = final or self._final
        return Answer(ready=False, text=_said("" if found else "running", found), failed=final is not None)

    async def failure(self, *_: object) -> NotReadyError:
        """Return the error for the reason that is final."""
        return await failure(self._session, self._owner, self._final, self._pods)

    def _failed(self, job: Object) -> Reason | None:
        broken = condition(job, "Failed")
        if not broken:
            return None
        latest = max(self._pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)
        said = str(broken.get("message") or broken.get("reason"))
        about = latest["metadata"]["name"] if latest else self._name
        return Reason(about, "failed", f"({self._what}) failed: {said}", log=latest is not None)


def _troubles(each: Object, pods: Objects, seen: ClusterState, deadline: float) -> list[Reason]:
    whole = of_controller(each, pods, seen)
    return [*([whole] if whole else []), *reasons(pods, seen, deadline)]


def _going(seen: ClusterState, owner: str) -> list[Reason]:
    """Name the pods whose end is waited for."""
    going = [pod for pod in seen.of("Pod", owner) if pod["metadata"].get("deletionTimestamp")]
    return [unfinished(pod["metadata"]["name"], "going", "is shutting down") for pod in going]


def _idle(name: str, kind: str) -> Reason:
    """Return the reason where there is none to be seen."""
    hint = f"`kubectl describe {kind.lower()} {name}` shows what happened to it"
    return unfinished(name, _IDLE, "", hint)


def _said(count: str, found: Sequence[Reason]) -> str:
    """Format what is waited for: how many are ready, and the worst reason why not all are."""
    one = next(iter(found), None)
    return "; ".join(filter(None, [count, f"`{one.pod}` {one.words}" if one else ""]))


class _Patience:
    """How long each reason has held."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}
        self._now = asyncio.get_running_loop().time
        self._before: str | None = None  # when it was overdue at the first look

    def lost(self, found: Sequence[Reason], pods: Objects) -> Reason | None:
        """Return a reason that has held for longer than it may."""
        well = {pod["metadata"]["name"] for pod in pods if is_ready(pod)}
        now = {(each.pod, each.kind) for each in found}
        self._since = {
            about: since
            for about, since in self._since.items()
            if about[0] not in well and (about[1] != _IDLE or about in now)
        }
        for each in found:
            since = self._since.setdefault((each.pod, each.kind), self._now())
            if each.patience is not None and self._now() - since >= each.patience:
                return each
        return None

    def overdue(self, each: Object) -> bool:
        """Return whether it became overdue since the wait began: what held before may be fixed by this change."""
        since = overdue(each)
        before, self._before = self._before, since if self._before is None else self._before
        return before is not None and since not in {"", before}

    def held(self, about: tuple[str, str]) -> float:
        """Return for how many seconds something has been so, this being the first time or not."""
        return self._now() - self._since.setdefault(about, self._now())


async def failure(session: ClusterSession, owner: str, reason: Reason, pods: Objects) -> NotReadyError:
    """Return what is wrong, with what the pod answers and the last lines that it wrote."""
    words = reason.words
    pod = next((pod for pod in pods if pod["metadata"]["name"] == reason.pod), None)
    if reason.late and pod is not None:
        answer = await answered(session, pod)
        words = f"is not ready after {reason.patience:g} s; the last answer: {answer or words}"
    elif reason.still:
        said = f"; the last answer: it {words}" if words else ", and the cluster does not say why"
        words = f"is not ready after {reason.patience:g} s{said}"
    elif reason.kind == "late" and not reason.previous:
        words = f"is not ready after {reason.patience:g} s"
    lines = [f"`{reason.pod}` {words}"]
    written = await last_lines(session, reason.pod, previous=reason.previous) if reason.log else []
    if written:
        lines += ["the last lines of its log:", *(f"  {line}" for line in written)]
    shown = f"`stepflow logs {owner}` shows all of it" if written else "it wrote nothing to its log"
    hint = "; ".join(filter(None, [reason.hint, shown if reason.log else ""]))
    return NotReadyError("\n".join(lines), hint=hint)


async def answered(session: ClusterSession, pod: Object) -> str:
    """Ask a pod itself what its probe asks: the cluster tells the status only; "" when it does not answer."""
    for container in pod["spec"]["containers"]:
        asked = (container.get("readinessProbe") or {}).get("httpGet")
        if not asked:
            continue
        numbers = {port.get("name"): port["containerPort"] for port in container.get("ports") or ()}
        number = numbers.get(asked["port"], asked["port"])
        try:
            status, body = await session.forwarder.ask(pod["metadata"]["name"], int(number), asked["path"], _ANSWER)
        except (OSError, ValueError, TimeoutError):
            return ""
        return f"GET {asked['path']} answers {status} {' '.join(body.split())[:_LONGEST]}".rstrip()
    return ""


async def last_lines(session: ClusterSession, pod: str, *, previous: bool) -> list[str]:
    """Return the last lines that a pod wrote, or (`previous`) its container before the present one."""
    path = f"/api/v1/namespaces/{session.namespace}/pods/{quote(pod)}/log"
    query = [("tailLines", str(LINES)), ("previous", "true" if previous else "false")]
    text = b""
    try:
        async for chunk in session.client.stream(path, query):
            text += chunk
    except ClusterRefusedError:  # there is none (any longer)
        return await last_lines(session, pod, previous=False) if previous else []
    except StepflowError:  # the reason is told all the same
        return []
    return text.decode(errors="replace").splitlines()
