"""The running platform as checks see it, from this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stepflow.errors import PermanentError
from stepflow.handoff import Endpoint, SecretFile
from stepflow.targets import Site, addresses
from stepflow.targets.kubernetes.manifests.names import OURS
from stepflow.targets.kubernetes.state.diagnose import is_ready
from stepflow.targets.kubernetes.state.identity import Identity
from stepflow.targets.kubernetes.state.session import Place
from stepflow.targets.kubernetes.state.snapshot import look_now, ports_in
from stepflow.targets.ports import HOST
from stepflow.targets.secretfiles import secret_text
from stepflow.workload import Instance

_FRESH = 1.0  # seconds for which the list of ready pods is reused


class KubernetesLive:
    """Addresses, secrets and copies in a cluster; an address is a local port that forwards to a ready pod."""

    target = "kubernetes"

    def __init__(self, site: Site, where: Callable[[], Place | None]) -> None:
        self.out: Path = site.out
        self._site = site
        self._where = where  # asked each time: the platform may be made later

    def url(self, endpoint: Endpoint) -> str:
        """Resolve a reference; raises `PermanentError` for a workload that does not exist."""
        place = self._where()
        number = addresses.port_number(endpoint, ports_of(place) if place else {})
        if place is None:
            raise AssertionError("a platform that does not exist has no ports")
        here = forwarded(place, endpoint.workload, number)
        return addresses.endpoint(endpoint, HOST, {endpoint.workload: {endpoint.port: here}})

    def secret(self, secret: SecretFile) -> str:
        """Read a secret's text."""
        return secret_text(Identity.of(self._site).secrets, secret.name)

    def instances(self, workload: str) -> tuple[Instance, ...]:
        """List the running copies of a workload."""
        place = self._where()
        if place is None:
            return ()
        pods = look_now(place.client, place.namespace, place.identity.id, "Pod", workload)
        number = next(iter(ports_of(place).get(workload, {}).values()), 0)
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
        place = self._where()
        there = await place.client.get("v1", "Pod", instance.handle, place.namespace) if place else None
        if there is None or place is None:
            raise PermanentError(f"the pod `{instance.name}` is no longer running")
        await place.client.delete(there, grace=0)


def forwarded(place: Place, name: str, number: int, wish: int = 0) -> int:
    """Return the port of this machine that leads to one of a workload or server; `wish` as `Forwarder.port` takes it.

    Each connection goes to a pod that is ready then, in turns.
    """
    return place.forwarder.port(name, number, _Ready(place, name).pods, wish)


class _Ready:
    """The ready pods of a workload, listed as rarely as possible."""

    def __init__(self, place: Place, name: str) -> None:
        self._place, self._name = place, name
        self._pods: list[str] = []
        self._looked = 0.0

    def pods(self) -> Sequence[str]:
        """Return their names, starting with another one each time."""
        if not self._pods or time.monotonic() - self._looked > _FRESH:
            place = self._place
            found = look_now(place.client, place.namespace, place.identity.id, "Pod", self._name)
            self._pods = [each["metadata"]["name"] for each in found if is_ready(each)]
            self._looked = time.monotonic()
        else:
            self._pods = [*self._pods[1:], *self._pods[:1]]  # another thread may just have found none
        return tuple(self._pods)


def ports_of(place: Place) -> Mapping[str, Mapping[str, int]]:
    """Return the ports of all workloads and servers."""
    return ports_in(place.client.list_now("v1", "Service", place.namespace, f"{OURS}={place.identity.id}"))
