"""Waiting for a rollout, and reporting what for; a failed wait ends with the real reason."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from urllib.parse import quote

from stepflow.errors import PermanentError, StepflowError
from stepflow.targets import Progress
from stepflow.targets.kubernetes.api.errors import ClusterRefusedError
from stepflow.targets.kubernetes.api.kinds import Object, Objects
from stepflow.targets.kubernetes.state.diagnose import Reason, condition, is_ready, of_controller, reasons
from stepflow.targets.kubernetes.state.progress import Stand, overdue, stand
from stepflow.targets.kubernetes.state.session import ClusterSession
from stepflow.targets.kubernetes.state.snapshot import ClusterState, owned_by, owner_of

LINES = 15  # of the log that an error shows
_STUCK = 5.0  # seconds after which a pod of an outdated template that is not ready is replaced
_ANSWER = 3.0  # seconds that a pod has for an answer
_LONGEST = 200  # characters of an answer that are shown


class NotReadyError(PermanentError):
    """A rollout does not become ready."""


async def rolled_out(
    session: ClusterSession, kind: str, name: str, deadline: float, say: Callable[[Progress], None]
) -> tuple[Object, str]:
    """Wait until all pods of a controller are of its newest template and ready; return it and that template's name.

    Raises `NotReadyError` with the reason: at once where waiting cannot help, else once it has held for too long; a
    pod that runs has `deadline` seconds to get ready.
    """
    patience = _Patience(say, name)
    while True:
        seen = await session.running.next()
        each = seen.named(kind, name)
        if each is None:
            raise PermanentError(
                f"{kind} `{name}` disappeared while stepflow waited for it", hint="who removed it? run again"
            )
        now = stand(each, seen)
        if now.done:
            return each, now.template
        found: list[Reason] = []
        if now.seen:
            await _unstick(session, now, patience)
            found = _troubles(each, now.pods, seen, deadline)
        final = patience.lost(found, [*now.pods, *now.outdated])
        if final is None and now.seen and patience.overdue(each):
            final = (
                found[0]
                if found
                else Reason(name, "overdue", "does not become ready, and the cluster does not say why")
            )
        if final is not None:
            raise await failure(session, owner_of(each), final, now.pods)
        patience.tell(f"{now.ready} of {now.wanted} ready", found or _going(seen, owner_of(each)))


async def finished(session: ClusterSession, name: str, what: str, say: Callable[[Progress], None]) -> None:
    """Wait until a Job has succeeded; `what` it does in words. Raises `NotReadyError` when it fails."""
    patience = _Patience(say, what)
    while True:
        seen = await session.running.next()
        job = seen.named("Job", name)
        if job is None:
            raise PermanentError(f"the job `{name}` disappeared while stepflow waited for it", hint="run again")
        if condition(job, "Complete"):
            return
        pods = [pod for pod in seen.of("Pod") if owned_by(pod, job)]
        broken = condition(job, "Failed")
        if broken:
            latest = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)
            said = str(broken.get("message") or broken.get("reason"))
            about = latest["metadata"]["name"] if latest else name
            reason = Reason(about, "failed", f"({what}) failed: {said}", log=latest is not None)
            raise await failure(session, owner_of(job), reason, pods)
        going = [pod for pod in pods if pod.get("status", {}).get("phase") in {"Pending", "Running"}]
        found = _troubles(job, going, seen, float("inf"))
        final = patience.lost(found, going)
        if final is not None:
            raise await failure(session, owner_of(job), final, pods)
        patience.tell("running" if not found else "", found)


def _troubles(each: Object, pods: Objects, seen: ClusterState, deadline: float) -> list[Reason]:
    whole = of_controller(each, pods, seen)
    return [*([whole] if whole else []), *reasons(pods, seen, deadline)]


def _going(seen: ClusterState, owner: str) -> list[Reason]:
    """Name the pods whose end is waited for."""
    going = [pod for pod in seen.of("Pod", owner) if pod["metadata"].get("deletionTimestamp")]
    return [Reason(pod["metadata"]["name"], "going", "is shutting down") for pod in going]


class _Patience:
    """Knows for how long each reason has held, and says what is new."""

    def __init__(self, say: Callable[[Progress], None], name: str) -> None:
        self._say, self._name, self._said = say, name, ""
        self._since: dict[tuple[str, str], float] = {}
        self._now = asyncio.get_running_loop().time
        self._before: str | None = None  # when it was overdue at the first look

    def lost(self, found: Sequence[Reason], pods: Objects) -> Reason | None:
        """Return a reason that has held for longer than it may."""
        well = {pod["metadata"]["name"] for pod in pods if is_ready(pod)}
        self._since = {about: since for about, since in self._since.items() if about[0] not in well}
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

    def tell(self, count: str, found: Sequence[Reason]) -> None:
        """Return what is waited for, when that is another thing than before."""
        one = next(iter(found), None)
        said = "; ".join(filter(None, [count, f"`{one.pod}` {one.words}" if one else ""]))
        if said != self._said:
            self._said = said
            self._say(Progress(f"`{self._name}`", said))


async def _unstick(session: ClusterSession, now: Stand, patience: _Patience) -> None:
    """Replace pods of an outdated template that do not get ready: a StatefulSet would wait for them for ever."""
    for pod in now.outdated:
        if not is_ready(pod) and patience.held((pod["metadata"]["name"], pod["metadata"]["uid"])) >= _STUCK:
            await session.client.delete(pod)


async def failure(session: ClusterSession, owner: str, reason: Reason, pods: Objects) -> NotReadyError:
    """Return what is wrong, with what the pod answers and the last lines that it wrote."""
    words = reason.words
    pod = next((pod for pod in pods if pod["metadata"]["name"] == reason.pod), None)
    if reason.late and pod is not None:
        answer = await answered(session, pod)
        words = f"is not ready after {reason.patience:g} s; the last answer: {answer or words}"
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
