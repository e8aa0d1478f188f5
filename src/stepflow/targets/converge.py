"""How every target converges: what there is, step by step, on what is desired."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired, Observed
from stepflow.workload import PRODUCTION


def whole(desired: Desired, observed: Mapping[str, Observed]) -> tuple[Action, ...]:
    """Reconcile for a target that makes a workload, with all of its copies, or a server in one go; pure."""
    kinds = dict.fromkeys(server.kind for server in desired.declaration.servers)
    servers = (_one(kind, observed.get(kind), "", 1) for kind in kinds)
    workloads = (
        _one(each.name, observed.get(each.name), desired.digests.get(each.name, ""), each.replicas)
        for each in desired.declaration.workloads
    )
    return (*servers, *workloads, *_production(desired, observed))


def _one(name: str, there: Observed | None, digest: str, replicas: int) -> Action:
    if there is None:
        return Action("create", name, "it does not exist", name)
    if there.digest != digest and digest:
        return Action("replace", name, "what it is made from changed", name)
    if there.state in {"stopped", "failed"}:
        return Action("restart", name, there.detail or f"it is {there.state}", name)
    if there.replicas != replicas and there.kind == "workload":
        return Action("scale", name, f"it has {_copies(there.replicas)} instead of {replicas}", name)
    if there.state == "starting":
        return Action("wait", name, there.detail or "it is starting", name)
    return Action("keep", name, "unchanged and ready", name)


def _production(desired: Desired, observed: Mapping[str, Observed]) -> Iterator[Action]:
    if desired.declaration.production:
        yield _one(PRODUCTION, observed.get(PRODUCTION), desired.digests.get(PRODUCTION, ""), 1)


def _copies(count: int) -> str:
    return "1 copy" if count == 1 else f"{count} copies"
