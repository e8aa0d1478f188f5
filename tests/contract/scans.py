"""A workload's environment that counts how often it is searched for references."""

from __future__ import annotations

from collections.abc import ValuesView

from stepflow.handoff import Value


class CountedEnv(dict[str, Value]):
    """Counts the walks over its values: what renders an environment needs the names, too, and walks over its items."""

    scans = 0

    def values(self) -> ValuesView[str, Value]:  # type: ignore[override]
        """Count a walk."""
        self.scans += 1
        return ValuesView(self)
