"""What must be ready before something else is."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from stepflow.errors import PermanentError
from stepflow.workload import Workload


def require_no_ring(workloads: Iterable[Workload]) -> None:
    """Raise `PermanentError` for workloads that need each other in a ring: none of them could begin."""
    try:
        TopologicalSorter({each.name: each.needs for each in workloads}).prepare()
    except CycleError as error:
        ring = ", ".join(sorted(set(error.args[1])))
        raise PermanentError(f"these workloads need each other in a ring: {ring}") from error
