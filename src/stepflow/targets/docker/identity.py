"""What a platform's containers and volumes are called, and which engine it is bound to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stepflow.errors import UsageError
from stepflow.targets import identity
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.wholefile import write_whole


@dataclass(frozen=True, slots=True)
class DockerIdentity(identity.Identity):
    """One platform on an engine; its network's name is just its prefix."""

    target: ClassVar[str] = "docker"

    @staticmethod
    def listing(state: Path) -> str:
        """Return the command that lists the containers that were made for a state directory."""
        return f"docker ps -a --filter label={identity.STATE}={state}"

    def container(self, instance: str) -> str:
        """Return the name of a container, `instance` being `<workload>-<n>` or a server's name."""
        return f"{self.prefix}-{instance}"

    def volume(self, name: str) -> str:
        """Return the name of a volume that outlives its container."""
        return f"{self.prefix}-data-{name}"


async def require_bound(engine: Engine, who: DockerIdentity) -> None:
    """Bind a platform to the first engine that it is looked for on: on any other it would look as if it were gone.

    Raises `UsageError` on another engine than the platform's.
    """
    file = who.private / "engine"
    if not file.exists():
        write_whole(file, f"{engine.host}\n{await _described(engine)}\n")
        return
    host, described = file.read_text(encoding="utf-8").splitlines()[:2]
    if engine.host != host and await _described(engine) != described:
        raise UsageError(
            f"`{who.platform}` is on the Docker engine at {host}, and this is the one at {engine.host}",
            hint=f"`export DOCKER_HOST={host}`, or make another one here with another `--name`",
        )


async def _described(engine: Engine) -> str:
    """Return what tells engines apart: two on one machine can share their id, but not where they keep things."""
    info = await engine.info()
    return f"{info.get('ID', '')} {info.get('DockerRootDir', '')}"
