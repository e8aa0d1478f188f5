"""The running platform as checks see it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from stepflow.errors import PermanentError
from stepflow.handoff import Endpoint, SecretFile
from stepflow.targets import addresses
from stepflow.targets.local.identity import lives, send
from stepflow.targets.local.observed import look
from stepflow.targets.local.pair import alive
from stepflow.targets.local.platform import Platform
from stepflow.targets.ports import HOST
from stepflow.targets.secretfiles import secret_text
from stepflow.workload import Instance

_LOOKS, _STEP = 200, 0.01  # at most two seconds for the kernel to end a killed process


class LocalLive:
    """Addresses, secrets and copies on this machine."""

    target = "local"

    def __init__(self, out: Path, platform: Platform) -> None:
        self.out = out
        self._platform = platform

    def url(self, endpoint: Endpoint) -> str:
        """Resolve a reference; raises `PermanentError` for a workload that does not exist."""
        running = {process.owner for process in self._platform.wanted().values()}
        known = {name: ports for name, ports in look(self._platform).numbers.items() if name in running}
        return addresses.endpoint(endpoint, HOST, known)

    def secret(self, secret: SecretFile) -> str:
        """Read a secret's text."""
        return secret_text(self._platform.layout.secrets, secret.name)

    def instances(self, workload: str) -> tuple[Instance, ...]:
        """List the running copies of a workload."""
        if not alive(self._platform.layout):
            return ()
        copies = self._platform.copies(workload).values()
        sights = {process.name: self._platform.sight(process) for process in copies}
        return tuple(
            Instance(workload, p.name, sights[p.name].state, p.url, str(sights[p.name].pid))
            for p in copies
            if sights[p.name].pid
        )

    async def kill(self, instance: Instance) -> None:
        """Send SIGKILL to one copy and see it end. Raises `PermanentError` when it is gone already."""
        sight = self._platform.seen().processes.get(instance.name)
        if sight is None or str(sight.pid) != instance.handle:
            raise PermanentError(f"`{instance.name}` with pid {instance.handle} does not run any longer")
        send(sight.pid, sight.started, signal.SIGKILL)
        for _ in range(_LOOKS):
            if not lives(sight.pid, sight.started):
                return
            await asyncio.sleep(_STEP)
