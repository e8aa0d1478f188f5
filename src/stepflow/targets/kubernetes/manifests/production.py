"""How the platform as a whole is run: how far it scales, and how much of the cluster it may take."""

from __future__ import annotations

from collections.abc import Iterable

from stepflow.errors import PermanentError
from stepflow.workload import PRODUCTION, Production, Workload

from .jobs import database_objects, migration_objects
from .model import Component, Object, Platform
from .monitoring import monitoring_objects
from .names import metadata
from .resources import mebibytes, millicores, resources
from .servers import server_objects
from .workloads import workload_objects

_WHOLE = Component(PRODUCTION, "platform")
_RESERVE = 10  # workloads of which nobody knows yet, each as large as the largest
_RATE = "http_requests_per_second"


def production_objects(platform: Platform, production: Production) -> list[Object]:
    """Give the quota, the default limits, an autoscaler for each workload that scales, and what watches them.

    Raises `PermanentError` for one that shall scale and cannot.
    """
    known = {each.name: each for each in production.workloads}
    for name in production.scaled:
        if name not in known or known[name].data:
            why = "keeps data in one place" if name in known else "is not declared"
            raise PermanentError(f"`{name}` shall scale, but {why}")
    scaled = [_autoscaler(platform, production, known[name]) for name in sorted(production.scaled)]
    return [_limits(platform), *scaled, *monitoring_objects(platform, _WHOLE, production), _quota(platform, production)]


def copies(production: Production, workload: Workload) -> tuple[int, int]:
    """Give the least and the greatest number of a workload's copies."""
    if workload.name not in production.scaled:
        return workload.replicas, workload.replicas
    least = max(production.at_least, workload.replicas)
    return least, max(production.at_most, least) if production.automatic else least


def _autoscaler(platform: Platform, production: Production, workload: Workload) -> Object:
    least, most = copies(production, workload)
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(platform, _WHOLE, workload.name),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name},
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": list(_metrics(platform, production)),
            "behavior": {"scaleUp": _fast(), "scaleDown": _slow()},
        },
    }


def _metrics(platform: Platform, production: Production) -> Iterable[Object]:
    """Measure against a core, not against the request: that is what a copy needs at rest, and small."""
    target = {"type": "AverageValue", "averageValue": f"{production.cpu_target * 10}m"}
    yield {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    if platform.values.requests_per_second:
        rate = {"type": "AverageValue", "averageValue": str(platform.values.requests_per_second)}
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


def _limits(platform: Platform) -> Object:
    """Give what a pod of somebody else's gets that asks for nothing; without it the quota refuses the pod."""
    small = resources("job")
    container = {"type": "Container", "defaultRequest": small["requests"], "default": small["limits"]}
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": metadata(platform, _WHOLE, "defaults"),
        "spec": {"limits": [container]},
    }


def _quota(platform: Platform, production: Production) -> Object:
    hard = _sums(platform, production)
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": metadata(platform, _WHOLE, "platform"),
        "spec": {"hard": hard},
    }


def _sums(platform: Platform, production: Production) -> Object:
    """Add up all pods at their most, one more of each while it is replaced, and a reserve."""
    total: dict[str, int] = {"pods": 0, "requests.cpu": 0, "requests.memory": 0, "limits.cpu": 0, "limits.memory": 0}
    claims = 0
    for made, most in _controllers(platform, production):
        (container,) = made["spec"]["template"]["spec"]["containers"]
        for bound in ("requests", "limits"):
            total[f"{bound}.cpu"] += most * millicores(container["resources"][bound]["cpu"])
            total[f"{bound}.memory"] += most * mebibytes(container["resources"][bound]["memory"])
        total["pods"] += most
        claims += most * len(made["spec"].get("volumeClaimTemplates", []))
    largest = resources("store")
    for bound in ("requests", "limits"):
        total[f"{bound}.cpu"] += _RESERVE * millicores(largest[bound]["cpu"])
        total[f"{bound}.memory"] += _RESERVE * mebibytes(largest[bound]["memory"])
    return {
        "pods": str(total["pods"] + _RESERVE),
        "requests.cpu": f"{total['requests.cpu']}m",
        "requests.memory": f"{total['requests.memory']}Mi",
        "limits.cpu": f"{total['limits.cpu']}m",
        "limits.memory": f"{total['limits.memory']}Mi",
        "persistentvolumeclaims": str(claims + _RESERVE),
        "services.loadbalancers": "0",
    }


def _controllers(platform: Platform, production: Production) -> Iterable[tuple[Object, int]]:
    for workload in production.workloads:
        yield workload_objects(platform, workload, "")[-1], copies(production, workload)[1] + 1
        yield from ((made, 1) for made in migration_objects(platform, workload)[-1:])
    for kind in sorted({server.kind for server in production.servers}):
        yield from ((made, made["spec"]["replicas"] + 1) for made in server_objects(platform, kind)[-1:])
    for database in sorted({server.database for server in production.servers if server.database}):
        yield from ((made, 1) for made in database_objects(platform, database)[-1:])
