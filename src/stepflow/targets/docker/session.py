"""One platform on one engine, for as long as a command runs: its identity, its network and volumes, its locks."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from stepflow.errors import PermanentError, TemporaryError
from stepflow.targets.contract import Site
from stepflow.targets.converge import Locks
from stepflow.targets.docker.host_ports import HostPorts
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.targets.docker.observed import BIRTH
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import TAKEN, EngineRefusedError


@dataclass(frozen=True, slots=True)
class EngineSession:
    """Where things are created, and the locks by which steps that run at the same time create them once."""

    site: Site
    identity: DockerIdentity
    engine: Engine
    ports: HostPorts
    locks: Locks = field(default_factory=Locks)

    async def ensure_network(self) -> bool:
        """Create the platform's network; return False when another step has just created it.

        Raises `PermanentError` when the engine has no addresses left.
        """
        name, labels = self.identity.prefix, self.identity.labels("network")
        async with self.locks.held("platform network"):
            alike = await self.engine.ask(lambda api: api.networks(names=[name]))
            if any(each["Name"] == name for each in alike):  # the engine's filter takes parts of names, too
                return False
            try:
                await self.engine.ask(
                    lambda api: api.create_network(name, driver="bridge", labels=labels, check_duplicate=True)
                )
            except EngineRefusedError as error:
                raise _not_created(error, name) from error
            return True

    async def create_volume(self, name: str, owner: str) -> bool:
        """Create a volume for data; return False when it exists, and stays as it is."""
        labels = {**self.identity.labels("data", owner), BIRTH: secrets.token_hex(8)}
        there = await self.engine.ask(lambda api: api.create_volume(name, labels=labels))
        return (there.get("Labels") or {}).get(BIRTH) == labels[BIRTH]


def _not_created(error: EngineRefusedError, name: str) -> PermanentError | TemporaryError:
    if error.status == TAKEN:
        return TemporaryError(f"the network `{name}` was created by another process at the same time", delay=0.1)
    if "address pool" in error.text:
        return PermanentError(
            f"the engine has no addresses left for the network `{name}`: {error.text}",
            hint="`docker network ls` shows them, `docker network rm NAME` removes one that is not used",
        )
    return error
