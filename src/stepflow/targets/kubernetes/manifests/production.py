"""How the platform as a whole is run: how far it scales, and how much of the cluster it may take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from stepflow.errors import PermanentError
from stepflow.targets.resolution import ResolvedProduction
from stepflow.workload import PRODUCTION, Production, Workload

from .model import Component, Object, Release
from .monitoring import monitoring_objects
from .names import metadata
from .resources import Size, mebibytes, millicores, resources
from .servers import brought
from .workloads import size_of

_WHOLE = Component(PRODUCTION, "platform")
_RESERVE = 10  # pods that are not known yet
_RATE = "http_requests_per_second"


def production_objects(release: Release, production: ResolvedProduction) -> list[Object]:
    """Return the quota, the default limits, an autoscaler for each workload that scales, and what watches them.

    Raises `PermanentError` for a workload that is to scale and cannot.
    """
    known = {each.name: each for each in production.workloads}
    declared = production.declared
    for name in declared.scaled:
        if name not in known or known[name].data:
            why = "keeps data in one place" if name in known else "is not declared"
            raise PermanentError(f"`{name}` cannot scale: it {why}")
    scaled = [_autoscaler(release, declared, known[name].workload) for name in sorted(declared.scaled)]
    return [_limits(release), *scaled, *monitoring_objects(release, _WHOLE, production), _quota(release, production)]


def replica_range(production: Production, workload: Workload) -> tuple[int, int]:
    """Return the least and the greatest number of a workload's copies."""
    if workload.name not in production.scaled:
        return workload.replicas, workload.replicas
    least = max(production.at_least, workload.replicas)
    return least, max(production.at_most, least) if production.automatic else least


def _autoscaler(release: Release, production: Production, workload: Workload) -> Object:
    least, most = replica_range(production, workload)
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(release, _WHOLE, workload.name),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name},
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": list(_metrics(release, production)),
            "behavior": {"scaleUp": _fast(), "scaleDown": _slow()},
        },
    }


def _metrics(release: Release, production: Production) -> Iterable[Object]:
    """Count the CPU in percent of the request: what the scheduler keeps free for a copy is what it is held to."""
    target = {"type": "Utilization", "averageUtilization": production.cpu_target}
    yield {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    if release.values.requests_per_second:
        rate = {"type": "AverageValue", "averageValue": str(release.values.requests_per_second)}
        yield {"type": "Pods", "pods": {"metric": {"name": _RATE}, "target": rate}}


def _fast() -> Object:
    """Double the copies every 15 s, or add two where that is more."""
    policies = [
        {"type": "Percent", "value": 100, "periodSeconds": 15},
        {"type": "Pods", "value": 2, "periodSeconds": 15},
    ]
    return {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": policies}


def _slow() -> Object:
    """Take away a tenth a minute, one at least, after five quiet minutes."""
    policies = [
        {"type": "Percent", "value": 10, "periodSeconds": 60},
        {"type": "Pods", "value": 1, "periodSeconds": 60},
    ]
    return {"stabilizationWindowSeconds": 300, "selectPolicy": "Max", "policies": policies}


def _limits(release: Release) -> Object:
    """Return the default limits of other pods in the namespace, which the quota would refuse without any."""
    small = resources("job")
    container = {"type": "Container", "defaultRequest": small["requests"], "default": small["limits"]}
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": metadata(release, _WHOLE, "defaults"),
        "spec": {"limits": [container]},
    }


def _quota(release: Release, production: ResolvedProduction) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": metadata(release, _WHOLE, "platform"),
        "spec": {"hard": _sums(release, production)},
    }


def _sums(release: Release, production: ResolvedProduction) -> Object:
    """Add up all pods at their most, one more of each while it is replaced, and a reserve."""
    pods = [*_pods(release, production), _Pods("store", _RESERVE, _RESERVE)]
    hard: Object = {"pods": str(sum(each.most for each in pods)), "services.loadbalancers": "0"}
    for bound in ("requests", "limits"):
        asked = [(each.most, resources(each.size)[bound]) for each in pods]
        cpu = sum(most * millicores(of["cpu"]) for most, of in asked)
        hard[f"{bound}.cpu"] = f"{cpu}m" if cpu % 1000 else str(cpu // 1000)
        hard[f"{bound}.memory"] = f"{sum(most * mebibytes(of['memory']) for most, of in asked)}Mi"
    if not release.values.storage.ephemeral:
        hard["persistentvolumeclaims"] = str(sum(each.claims for each in pods))
    return hard


class _Pods(NamedTuple):
    size: Size
    most: int
    claims: int = 0


def _pods(release: Release, production: ResolvedProduction) -> Iterable[_Pods]:
    for each in production.workloads:
        most = replica_range(production.declared, each.workload)[1]
        yield _Pods(size_of(each), most + 1, most * len(each.data))
        if each.workload.migrate:
            yield _Pods("job", 1)
    servers = brought(release, production.backing)
    nodes = {"nats": release.values.nats.nodes}
    for kind in sorted({server.kind for server in servers}):
        count = nodes.get(kind, 1)
        yield _Pods(kind, count + 1, count)
    yield _Pods("job", len({server.database for server in servers if server.database}))
