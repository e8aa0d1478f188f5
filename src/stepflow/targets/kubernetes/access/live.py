"""The running platform as checks and people reach it, from this machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stepflow.errors import PermanentError, UsageError
from stepflow.handoff import Endpoint, SecretFile
from stepflow.targets import addresses, endpoints
from stepflow.targets.contract import Observed, Site
from stepflow.targets.kubernetes.manifests.names import OURS
from stepflow.targets.kubernetes.state.diagnose import is_ready
from stepflow.targets.kubernetes.state.identity import KubernetesIdentity
from stepflow.targets.kubernetes.state.session import ClusterSession
from stepflow.targets.kubernetes.state.snapshot import look_now, ports_in
from stepflow.targets.ports import HOST, by, free
from stepflow.targets.secretfiles import secret_text
from stepflow.workload import Instance

_FRESH = 1.0  # seconds for which the list of ready pods is reused
_UNPRIVILEGED = 1024  # the first port that everyone may listen on
_FURTHER = 200  # numbers after the usual one that are tried


class KubernetesLive:
    """Addresses, secrets and copies in a cluster; an address is a local port that forwards to a ready pod."""

    target = "kubernetes"

    def __init__(self, site: Site, where: Callable[[], ClusterSession | None]) -> None:
        self.out: Path = site.out
        self._site = site
        self._where = where  # asked each time: the platform may be made later

    def url(self, endpoint: Endpoint) -> str:
        """Resolve a reference; raises `PermanentError` for a workload that does not exist."""
        session = self._where()
        number = addresses.port_number(endpoint, ports_of(session) if session else {})
        if session is None:
            raise AssertionError("a platform that does not exist has no ports")
        here = forwarded(session, endpoint.workload, number)
        return addresses.endpoint(endpoint, HOST, {endpoint.workload: {endpoint.port: here}})

    def secret(self, secret: SecretFile) -> str:
        """Read a secret's text."""
        return secret_text(KubernetesIdentity.of(self._site).secrets, secret.name)

    def instances(self, workload: str) -> tuple[Instance, ...]:
        """List the running copies of a workload."""
        session = self._where()
        if session is None:
            return ()
        pods = look_now(session.client, session.namespace, session.identity.id, "Pod", workload)
        number = next(iter(ports_of(session).get(workload, {}).values()), 0)
        found = []
        for each in pods:
            if each["metadata"].get("deletionTimestamp") or each.get("status", {}).get("phase") != "Running":
                continue
            address = f"http://{each['status'].get('podIP', '')}:{number}"
            name = each["metadata"]["name"]
            found.append(Instance(workload, name, "ready" if is_ready(each) else "starting", address, name))
        return tuple(found)

    async def kill(self, instance: Instance) -> None:
        """Remove one pod at once: its processes get SIGKILL. Raises `PermanentError` if it no longer exists."""
        session = self._where()
        there = await session.client.get("v1", "Pod", instance.handle, session.namespace) if session else None
        if there is None or session is None:
            raise PermanentError(f"the pod `{instance.name}` is no longer running")
        await session.client.delete(there, grace=0)


async def lead(session: ClusterSession, observed: Mapping[str, Observed], wish: int | None = None) -> str:
    """Open a port that forwards to the gateway, or else to the first workload, and return its URL.

    It is `wish` (0: any); without one the workload's own number if that is free, else the next that is. Raises
    `UsageError` when there is nothing to lead to, when it is not ready, and when the wish is taken.
    """
    name = next(iter(endpoints(observed)), "")
    if not name:
        raise UsageError(f"`{session.identity.platform}` has no page to open", hint="`stepflow status` shows what runs")
    if observed[name].ready == 0:
        detail = f": {observed[name].detail}" if observed[name].detail else ""
        raise UsageError(f"`{name}` does not answer yet{detail}", hint="`stepflow resume` starts what is down")
    ports = await asyncio.to_thread(lambda: ports_of(session)[name])
    number = ports.get("http") or next(iter(ports.values()))
    here = await asyncio.to_thread(forwarded, session, name, number, _chosen(wish, number))
    return f"http://{HOST}:{here}/"


def _chosen(wish: int | None, usual: int) -> int:
    if wish is None:
        candidates = range(max(usual, _UNPRIVILEGED), min(usual + _FURTHER, 65536))
        return next((number for number in candidates if free(number)), 0)
    if wish and not free(wish):
        raise UsageError(
            f"port {wish} is taken{by(wish)}", hint="choose another with `--port`; `--port 0` takes any free one"
        )
    return wish


def forwarded(session: ClusterSession, name: str, number: int, wish: int = 0) -> int:
    """Return the port of this machine that leads to one of a workload or server; `wish` as `Forwarder.port` takes it.

    Each connection goes to a pod that is ready then, in turns.
    """
    return session.forwarder.port(name, number, _Ready(session, name).pods, wish)


class _Ready:
    """The ready pods of a workload, listed as rarely as possible."""

    def __init__(self, session: ClusterSession, name: str) -> None:
        self._session, self._name = session, name
        self._pods: list[str] = []
        self._looked = 0.0

    def pods(self) -> Sequence[str]:
        """Return their names, starting with another one each time."""
        if not self._pods or time.monotonic() - self._looked > _FRESH:
            session = self._session
            found = look_now(session.client, session.namespace, session.identity.id, "Pod", self._name)
            self._pods = [each["metadata"]["name"] for each in found if is_ready(each)]
            self._looked = time.monotonic()
        else:
            self._pods = [*self._pods[1:], *self._pods[:1]]  # another thread may just have found none
        return tuple(self._pods)


def ports_of(session: ClusterSession) -> Mapping[str, Mapping[str, int]]:
    """Return the ports of all workloads and servers."""
    return ports_in(session.client.list_now("v1", "Service", session.namespace, f"{OURS}={session.identity.id}"))
