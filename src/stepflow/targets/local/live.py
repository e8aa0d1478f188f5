"""The running platform as checks see it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from stepflow.errors import PermanentError
from stepflow.handoff import Endpoint, SecretFile
from stepflow.targets import addresses
from stepflow.targets.local.observed import local_state
from stepflow.targets.local.pair import alive
from stepflow.targets.local.processes import lives, send
from stepflow.targets.local.store import Store
from stepflow.targets.ports import HOST
from stepflow.targets.secretfiles import secret_text
from stepflow.workload import Instance

_LOOKS, _STEP = 200, 0.01  # at most two seconds for the kernel to end a killed process


class LocalLive:
    """Addresses, secrets and copies on this machine."""

    target = "local"

    def __init__(self, out: Path, store: Store) -> None:
        self.out = out
        self._store = store

    def url(self, endpoint: Endpoint) -> str:
        """Resolve a reference; raises `PermanentError` for a workload that does not exist."""
        running = {process.owner for process in self._store.desired().values()}
        known = {name: ports for name, ports in local_state(self._store).numbers.items() if name in running}
        return addresses.endpoint(endpoint, HOST, known)

    def secret(self, secret: SecretFile) -> str:
        """Read a secret's text."""
        return secret_text(self._store.layout.secrets, secret.name)

    def instances(self, workload: str) -> tuple[Instance, ...]:
        """List the running copies of a workload."""
        if not alive(self._store.layout):
            return ()
        copies = self._store.copies(workload).values()
        statuses = {process.name: self._store.status(process) for process in copies}
        return tuple(
            Instance(workload, p.name, statuses[p.name].state, p.url, str(statuses[p.name].pid))
            for p in copies
            if statuses[p.name].pid
        )

    async def kill(self, instance: Instance) -> None:
        """Send SIGKILL to one copy and wait for its end. Raises `PermanentError` when it is gone already."""
        status = self._store.observed().processes.get(instance.name)
        if status is None or str(status.pid) != instance.handle:
            raise PermanentError(f"`{instance.name}` with pid {instance.handle} does not run any longer")
        send(status.pid, status.started, signal.SIGKILL)
        for _ in range(_LOOKS):
            if not lives(status.pid, status.started):
                return
            await asyncio.sleep(_STEP)
