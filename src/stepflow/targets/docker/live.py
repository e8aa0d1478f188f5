"""The running platform as checks see it, from this machine."""

from __future__ import annotations

from pathlib import Path

from stepflow.errors import PermanentError, TemporaryError
from stepflow.handoff import Endpoint, SecretFile
from stepflow.targets import addresses
from stepflow.targets.contract import Site
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.targets.docker.inspected import Inspected
from stepflow.targets.docker.observed import inspect_now, state
from stepflow.targets.docker.probe import ask_now
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.docker_api.errors import GONE, TAKEN, EngineRefusedError
from stepflow.targets.ports import HOST
from stepflow.targets.secretfiles import secret_text
from stepflow.workload import Instance


class DockerLive:
    """Addresses, secrets and copies on an engine. Ports are asked for each time: they change with each start."""

    target = "docker"

    def __init__(self, site: Site, engine: Engine) -> None:
        self.out: Path = site.out
        self._site = site
        self._engine = engine

    def url(self, endpoint: Endpoint) -> str:
        """Return the URL of a reference. Raises `PermanentError` for a workload that does not exist."""
        mine = self._look(endpoint.workload)
        there = mine or self._look()  # the error names what there is
        numbers = {each.record.owner: each.record.listens for each in there if each.record.kind != "setup"}
        addresses.port_number(endpoint, numbers)
        number = next((number for each in mine if (number := each.port(endpoint.port)) is not None), None)
        if number is None:
            raise TemporaryError(f"`{endpoint.workload}` is not running: {state(mine[0])[1]}")
        return addresses.endpoint(endpoint, HOST, {endpoint.workload: {endpoint.port: number}})

    def secret(self, secret: SecretFile) -> str:
        """Return a secret's text."""
        return secret_text(DockerIdentity.of(self._site).secrets, secret.name)

    def instances(self, workload: str) -> tuple[Instance, ...]:
        """Return the running copies of a workload."""
        return tuple(
            Instance(workload, each.instance, "ready" if ask_now(each) else "starting", each.url, each.id[:12])
            for each in self._look(workload)
            if each.condition == "running" and each.record.kind == "workload"
        )

    async def kill(self, instance: Instance) -> None:
        """Send SIGKILL to one copy. Raises `PermanentError` when it is not running any more.

        The engine takes this for a wish and, unlike after a crash, leaves it stopped: so it is told to start it.
        """
        try:
            await self._engine.ask(lambda api: api.kill(instance.handle, signal="SIGKILL"))
            await self._engine.ask(lambda api: api.wait(instance.handle))
            await self._engine.ask(lambda api: api.start(instance.handle))
        except EngineRefusedError as error:
            if error.status in {GONE, TAKEN}:
                said = f"`{instance.name}`, container {instance.handle}, is not running any more"
                raise PermanentError(said) from error
            raise

    def _look(self, owner: str = "") -> list[Inspected]:
        who = DockerIdentity.known(self._site)
        return inspect_now(self._engine, who, owner=owner) if who else []
