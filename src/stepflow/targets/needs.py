"""What must be ready before something else is."""

from __future__ import annotations

from collections.abc import Iterable

from stepflow.targets.contract import Desired
from stepflow.targets.resolved import resolution
from stepflow.workload import Declaration, Workload


def require_no_ring(workloads: Iterable[Workload]) -> None:
    """Raise `PermanentError` for a dependency cycle: none of its workloads could begin."""
    resolution(Desired(Declaration(tuple(workloads))))
