"""What bounds numbers of pods: disruption budgets, quotas, and autoscalers, which know no load here."""

from __future__ import annotations

from onenode.admission import used_of
from onenode.controllers.ownership import leaving, ready, with_conditions
from onenode.kinds import Object
from onenode.objects import Objects
from onenode.quantities import share
from onenode.selectors import selects


def control(objects: Objects) -> None:
    """Tell how many pods may go, and what of a quota is used."""
    for budget in objects.store.list("PodDisruptionBudget"):
        _budget(objects, budget)
    for quota in objects.store.list("ResourceQuota"):
        hard = quota["spec"].get("hard", {})
        used = used_of(objects.store, quota["metadata"]["namespace"], hard)
        objects.status(quota, hard=hard, used={key: f"{value:g}" for key, value in used.items()})


def _budget(objects: Objects, budget: Object) -> None:
    pods = [
        pod
        for pod in objects.store.list("Pod", budget["metadata"]["namespace"])
        if selects(budget["spec"].get("selector"), pod["metadata"].get("labels", {})) and not leaving(pod)
    ]
    able, total = sum(ready(pod) for pod in pods), len(pods)
    if "minAvailable" in budget["spec"]:
        wanted = share(budget["spec"]["minAvailable"], total, up=True)
    else:
        wanted = total - share(budget["spec"].get("maxUnavailable", 0), total, up=True)
    objects.status(
        budget, currentHealthy=able, desiredHealthy=wanted, disruptionsAllowed=max(0, able - wanted),
        expectedPods=total, observedGeneration=budget["metadata"]["generation"],
    )  # fmt: skip


def autoscale(objects: Objects) -> None:
    """Keep what an autoscaler scales within its bounds."""
    for scaler in objects.store.list("HorizontalPodAutoscaler"):
        spec, of = scaler["spec"], scaler["spec"]["scaleTargetRef"]
        target = objects.store.find(of["kind"], scaler["metadata"]["namespace"], of["name"])
        if target is None:
            continue
        has = target["spec"].get("replicas", 1)
        wanted = min(max(has, spec.get("minReplicas", 1)), spec["maxReplicas"])
        if wanted != has:
            target["spec"]["replicas"] = wanted
            target["metadata"]["generation"] += 1
            objects.store.put(target)
        able = {
            "type": "AbleToScale", "status": "True", "reason": "SucceededGetScale",
            "message": "the HPA controller was able to get the target's current scale",
        }  # fmt: skip
        objects.status(scaler, currentReplicas=has, desiredReplicas=wanted, conditions=with_conditions(scaler, able))
