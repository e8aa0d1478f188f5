"""What there is, by workload and server: two looks at the cluster, at what runs and at what stands beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

from stepflow.targets import Observed
from stepflow.targets.kubernetes.compare import goes_with
from stepflow.targets.kubernetes.diagnose import of_controller, reasons
from stepflow.targets.kubernetes.kinds import Object
from stepflow.targets.kubernetes.manifests.foundation import foundation
from stepflow.targets.kubernetes.manifests.names import DIGEST, REPLICAS
from stepflow.targets.kubernetes.place import Place
from stepflow.targets.kubernetes.rollout import overdue, stand
from stepflow.targets.kubernetes.sight import STANDING, Sight, annotation, look, look_running, owner_of
from stepflow.workload import PRODUCTION

State = Literal["ready", "starting", "stopped", "failed"]
CONTROLLERS = ("Deployment", "StatefulSet")
_KINDS = {"service": "workload", "server": "server"}
_PART = "app.kubernetes.io/component"
_SCHEMES = {"nats": "nats", "postgres": "postgresql", "valkey": "redis"}
_SCALER = "HorizontalPodAutoscaler"


async def observe(place: Place) -> Mapping[str, Observed]:
    """Give every workload and server by name, and `production`."""
    running, standing = await asyncio.gather(
        look_running(place.client, place.namespace, place.identity.id),
        look(place.client, place.namespace, place.identity.id, STANDING),
    )
    sight = Sight({**running.objects, **standing.objects})
    lacking = _shared(place, sight)
    found = [summary(place, each, sight, lacking) for each in sight.every(CONTROLLERS)]
    found += _production(sight, lacking)
    return {each.name: each for each in sorted(found, key=lambda each: each.name)}


def summary(place: Place, each: Object, sight: Sight, lacking: Sequence[str] = ()) -> Observed:
    """Say of one controller what it is made from and how it does. Pure but for what this process forwards."""
    name = owner_of(each)
    now = stand(each, sight)
    pods = [pod for pod in (*now.pods, *now.outdated) if not pod["metadata"].get("deletionTimestamp")]
    state, detail = state_of(each, sight)
    missing = [*lacks(each, sight), *lacking]
    if missing:
        state, detail = "stopped", f"it lacks {', '.join(missing)}"
    kind = _KINDS.get((each["metadata"].get("labels") or {}).get(_PART, ""), "workload")
    return Observed(
        name=name,
        kind=cast("Literal['workload', 'server']", kind),
        state=state,
        digest=annotation(each, DIGEST),
        replicas=copies(each, sight),
        ready=now.ready,
        url=_url(place, name, sight),
        handles=tuple(sorted(pod["metadata"]["name"] for pod in pods)),
        restarts=sum(one.get("restartCount", 0) for pod in pods for one in _containers(pod)),
        detail=detail,
        scaled=int(each["spec"].get("replicas", 1)) if _autoscaled(each, sight) else 0,
    )


def state_of(each: Object, sight: Sight) -> tuple[State, str]:
    """Say how a controller does, and why."""
    now = stand(each, sight)
    if now.done:
        return ("ready", f"{now.ready} of {now.wanted} ready") if now.wanted else ("stopped", "it has no copies")
    one = of_controller(each, now.pods, sight) if now.seen else None
    one = one or next(iter(reasons(now.pods, sight, float("inf"))), None)
    words = f"`{one.pod}` {one.words}" if one else f"{now.ready} of {now.wanted} ready"
    final = one is not None and one.patience == 0
    return ("failed" if final or overdue(each) else "starting"), words


def copies(each: Object, sight: Sight) -> int:
    """Say how many copies were asked for last: of what an autoscaler scales, by its declaration."""
    said = annotation(each, REPLICAS)
    return int(said) if said and _autoscaled(each, sight) else int(each["spec"].get("replicas", 1))


def lacks(last: Object, sight: Sight) -> list[str]:
    """Name what an owner goes with and is not there any more: "its Service `orders`"."""
    there = sight.keys()
    gone = [name.partition("/") for name in goes_with(last) if name not in there]
    return [f"its {kind} `{name}`" for kind, _, name in gone]


def _shared(place: Place, sight: Sight) -> list[str]:
    """Name what all share and is not there any more."""
    there = sight.keys() | {f"Namespace/{place.namespace}"}
    wanted = [(each["kind"], each["metadata"]["name"]) for each in foundation(place.bare)]
    return [f"the {kind} `{name}`" for kind, name in wanted if f"{kind}/{name}" not in there]


def _production(sight: Sight, lacking: Sequence[str]) -> Iterator[Observed]:
    mine = [each for each in sight.every(STANDING) if owner_of(each) == PRODUCTION]
    if not mine:
        return
    last = next((each for each in mine if annotation(each, DIGEST)), None)
    missing = [*lacks(last, sight), *lacking] if last else ["its ResourceQuota"]
    detail = f"it lacks {', '.join(missing)}" if missing else f"{len(mine)} rules"
    digest = annotation(last, DIGEST) if last else ""
    yield Observed(
        PRODUCTION, "policy", "stopped" if missing else "ready", digest, 1, int(not missing), "", (), detail=detail
    )


def _autoscaled(each: Object, sight: Sight) -> bool:
    return any(one["spec"]["scaleTargetRef"]["name"] == each["metadata"]["name"] for one in sight.of(_SCALER))


def _url(place: Place, name: str, sight: Sight) -> str:
    """Give the address for whoever is in the cluster; once this process forwards it, that on this machine."""
    service = sight.named("Service", name)
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]} if service else {}
    if not ports:
        return ""
    port = "http" if "http" in ports else next(iter(ports))
    scheme = _SCHEMES.get(name, "http")
    here = place.forwarder.opened(name, ports[port])
    return f"{scheme}://127.0.0.1:{here}" if here else f"{scheme}://{name}.{place.namespace}:{ports[port]}"


def _containers(pod: Object) -> Sequence[Object]:
    return cast("Sequence[Object]", pod.get("status", {}).get("containerStatuses") or ())
