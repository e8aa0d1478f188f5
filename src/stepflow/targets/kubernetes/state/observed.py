"""What there is, by workload and server: two looks at the cluster, at what runs and at what stands beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

from stepflow.targets.contract import Observed, State
from stepflow.targets.kubernetes.api.kinds import Object
from stepflow.targets.kubernetes.manifests.names import DIGEST, REPLICAS
from stepflow.targets.kubernetes.state.diagnose import of_controller, reasons
from stepflow.targets.kubernetes.state.progress import overdue, rollout_status
from stepflow.targets.kubernetes.state.session import ClusterSession
from stepflow.targets.kubernetes.state.snapshot import (
    CONTROLLERS,
    STANDING,
    ClusterState,
    annotation,
    owner_of,
    port_numbers,
)
from stepflow.workload import PRODUCTION

_KINDS = {"service": "workload", "server": "server"}
_PART = "app.kubernetes.io/component"
_SCHEMES = {"nats": "nats", "postgres": "postgresql", "valkey": "redis"}
_SCALER = "HorizontalPodAutoscaler"


def things(session: ClusterSession, seen: ClusterState) -> Mapping[str, Observed]:
    """Return every workload and server by name, and `production`. Pure but for what this process forwards."""
    found = [summary(session, each, seen) for each in seen.every(CONTROLLERS)]
    found += _production(seen)
    return {each.name: each for each in sorted(found, key=lambda each: each.name)}


def summary(session: ClusterSession, each: Object, seen: ClusterState) -> Observed:
    """Return what one controller is made from and its state. Pure but for what this process forwards."""
    name = owner_of(each)
    now = rollout_status(each, seen)
    pods = [pod for pod in (*now.pods, *now.outdated) if not pod["metadata"].get("deletionTimestamp")]
    state, detail = state_of(each, seen)
    kind = _KINDS.get((each["metadata"].get("labels") or {}).get(_PART, ""), "workload")
    return Observed(
        name=name,
        kind=cast("Literal['workload', 'server']", kind),
        state=state,
        digest=annotation(each, DIGEST),
        replicas=copies(each, seen),
        ready=now.ready,
        url=_url(session, name, seen),
        handles=tuple(sorted(pod["metadata"]["name"] for pod in pods)),
        restarts=sum(one.get("restartCount", 0) for pod in pods for one in _containers(pod)),
        detail=detail,
        scaled=int(each["spec"].get("replicas", 1)) if autoscaled(each, seen) else 0,
    )


def state_of(each: Object, seen: ClusterState) -> tuple[State, str]:
    """Return the state of a controller, and the reason."""
    now = rollout_status(each, seen)
    if now.done:
        return ("ready", f"{now.ready} of {now.desired} ready") if now.desired else ("stopped", "it has no copies")
    one = of_controller(each, now.pods, seen) if now.seen else None
    one = one or next(iter(reasons(now.pods, seen, float("inf"))), None)
    words = f"`{one.pod}` {one.words}" if one else f"{now.ready} of {now.desired} ready"
    final = one is not None and one.patience == 0
    return ("failed" if final or overdue(each) else "starting"), words


def copies(each: Object, seen: ClusterState) -> int:
    """Return how many copies were asked for last: of what an autoscaler scales, by its declaration."""
    said = annotation(each, REPLICAS)
    return int(said) if said and autoscaled(each, seen) else int(each["spec"].get("replicas", 1))


def _production(seen: ClusterState) -> Iterator[Observed]:
    mine = [each for each in seen.every(STANDING) if owner_of(each) == PRODUCTION]
    if mine:
        digest = next((found for each in mine if (found := annotation(each, DIGEST))), "")
        yield Observed(PRODUCTION, "policy", "ready", digest, 1, 1, "", (), detail=_rules(len(mine)))


def _rules(count: int) -> str:
    return "1 rule" if count == 1 else f"{count} rules"


def autoscaled(each: Object, seen: ClusterState) -> bool:
    """Return whether an autoscaler decides on the number of a Deployment's copies."""
    return any(one["spec"]["scaleTargetRef"]["name"] == each["metadata"]["name"] for one in seen.of(_SCALER))


def _url(session: ClusterSession, name: str, seen: ClusterState) -> str:
    """Return the address inside the cluster, or the one on this machine if this process forwards it."""
    service = seen.named("Service", name)
    ports = port_numbers(service) if service else {}
    if not ports:
        return ""
    port = "http" if "http" in ports else next(iter(ports))
    scheme = _SCHEMES.get(name, "http")
    here = session.forwarder.opened(name, ports[port])
    return f"{scheme}://127.0.0.1:{here}" if here else f"{scheme}://{name}.{session.namespace}:{ports[port]}"


def _containers(pod: Object) -> Sequence[Object]:
    return cast("Sequence[Object]", pod.get("status", {}).get("containerStatuses") or ())
