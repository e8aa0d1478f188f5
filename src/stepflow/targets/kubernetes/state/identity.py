"""What a platform's things in a cluster carry: its id, which its namespace has in its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stepflow.targets import identity


@dataclass(frozen=True, slots=True)
class KubernetesIdentity(identity.Identity):
    """One platform in a cluster; its namespace's usual name is just its prefix."""

    target: ClassVar[str] = "kubernetes"

    @staticmethod
    def listing(state: Path) -> str:
        """Return the command that lists the namespaces of platforms; where their states lie, no cluster is told."""
        del state
        return "kubectl get namespaces --selector stepflow.dev/platform --show-labels"
