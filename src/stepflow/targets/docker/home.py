"""The engine that a platform was made on: on any other it would look as if nothing were there."""

from __future__ import annotations

from stepflow.errors import UsageError
from stepflow.targets.docker.identity import Identity
from stepflow.targets.engine.client import Engine
from stepflow.targets.wholefile import write_whole


async def require_home(engine: Engine, identity: Identity) -> None:
    """Raise `UsageError` on another engine than the platform's; the first one it is asked about becomes it."""
    file = identity.private / "engine"
    if not file.exists():
        write_whole(file, f"{engine.host}\n{await _described(engine)}\n")
        return
    host, described = file.read_text(encoding="utf-8").splitlines()[:2]
    if engine.host != host and await _described(engine) != described:
        raise UsageError(
            f"`{identity.platform}` is on the Docker engine at {host}, and this is the one at {engine.host}",
            hint=f"`export DOCKER_HOST={host}`, or make another one here with another `--name`",
        )


async def _described(engine: Engine) -> str:
    """Tell engines apart: two on one machine can share their id, but not where they keep things."""
    info = await engine.info()
    return f"{info.get('ID', '')} {info.get('DockerRootDir', '')}"
