"""One platform on one engine, for as long as a command runs: who it is, and what must not be done twice at once."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from stepflow.errors import PermanentError, TemporaryError
from stepflow.targets import Site
from stepflow.targets.docker.identity import Identity
from stepflow.targets.engine.client import Engine
from stepflow.targets.engine.errors import GONE, TAKEN, RefusedError

BIRTH = "dev.stepflow.birth"  # of a volume: random
FOREIGN = "stepflow touches only what carries its label: remove or rename it, then run again"


@dataclass(frozen=True, slots=True)
class Platform:
    """Where things are made, and the locks by which steps that run at the same time make them once."""

    site: Site
    identity: Identity
    engine: Engine
    ports: dict[str, int] = field(default_factory=dict)  # `gateway/http` -> the number that was chosen for it
    _locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def lock(self, name: str) -> asyncio.Lock:
        """Give the lock for making one thing."""
        return self._locks[name]

    async def network(self) -> str:
        """Give the id of the platform's network, made when it is not there. Raises `PermanentError`."""
        name = self.identity.prefix
        async with self.lock("network"):
            try:
                there = await self.engine.ask(lambda api: api.inspect_network(name))
            except RefusedError as error:
                if error.status != GONE:
                    raise
            else:
                return self._ours("network", name, there["Id"], there["Labels"])
            labels = self.identity.labels("network")
            try:
                made = await self.engine.ask(
                    lambda api: api.create_network(name, driver="bridge", labels=labels, check_duplicate=True)
                )
            except RefusedError as error:
                raise _unmade(error, name) from error
            return str(made["Id"])

    async def volume(self, name: str, owner: str) -> None:
        """Have a volume for data. Raises `PermanentError` when there is a foreign one of this name."""
        labels = {**self.identity.labels("data", owner), BIRTH: secrets.token_hex(8)}  # those of one that is there stay
        there = await self.engine.ask(lambda api: api.create_volume(name, labels=labels))
        self._ours("volume", name, name, there["Labels"])

    async def birth(self, name: str) -> str:
        """Tell a volume from any other that had its name before; "" when there is none."""
        try:
            there = await self.engine.ask(lambda api: api.inspect_volume(name))
        except RefusedError as error:
            if error.status != GONE:
                raise
            return ""
        return str((there["Labels"] or {}).get(BIRTH, ""))

    def _ours(self, what: str, name: str, found: str, labels: Mapping[str, str] | None) -> str:
        if not self.identity.owns(labels):
            raise PermanentError(f"there is a {what} `{name}` on the engine that is not stepflow's", hint=FOREIGN)
        return found


def _unmade(error: RefusedError, name: str) -> PermanentError | TemporaryError:
    if error.status == TAKEN:
        return TemporaryError(f"the network `{name}` was made by somebody else at the same time", delay=0.1)
    if "address pool" in error.text:
        return PermanentError(
            f"the engine has no addresses left for the network `{name}`: {error.text}",
            hint="`docker network ls` shows them, `docker network rm NAME` removes one that nobody uses",
        )
    return error
