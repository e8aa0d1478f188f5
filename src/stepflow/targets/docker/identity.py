"""What a platform's containers and volumes are called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stepflow.targets import identity


@dataclass(frozen=True, slots=True)
class Identity(identity.Identity):
    """One platform on an engine; its network's name is just its prefix."""

    target: ClassVar[str] = "docker"

    @staticmethod
    def listing(state: Path) -> str:
        """Give the command that lists the containers that were made for a state directory."""
        return f"docker ps -a --filter label={identity.STATE}={state}"

    def container(self, instance: str) -> str:
        """Name a container, `instance` being `<workload>-<n>` or a server's name."""
        return f"{self.prefix}-{instance}"

    def volume(self, name: str) -> str:
        """Name a volume that outlives its container."""
        return f"{self.prefix}-data-{name}"
