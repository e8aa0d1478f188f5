"""The objects of one workload."""

from __future__ import annotations

import math

from stepflow.errors import PermanentError
from stepflow.targets.envoy import ARGUMENTS
from stepflow.targets.resolved import Resolved
from stepflow.targets.secretfiles import inside
from stepflow.workload import HttpProbe, Workload

from . import drain, objects
from .container import ENVOY, Files, View
from .entry import entry_objects
from .model import Component, Object, Release
from .names import DATA, DIGEST, REPLICAS, dns_label, require_names
from .network import roles, workload_policies
from .pod import Pod
from .resources import Size, mebibytes

_ADMIN = "admin"
"""The port of Envoy at which it is asked to drain."""


def workload_objects(release: Release, resolved: Resolved, digest: str) -> list[Object]:
    """Return everything that one workload needs, in the order in which it is applied; its controller is last.

    `digest` is that of all it is made from ("" in files): another one replaces the pods. Raises `PermanentError` for a
    name that Kubernetes would not take, and for what the workload refers to and is not there.
    """
    require_names(resolved.workload)
    component, view = Component(resolved.name, "service"), View(release, resolved)
    ports, data, replicas = resolved.ports, resolved.data, resolved.workload.replicas
    files = view.files(component)
    found = [objects.service_account(release, component), *files.config_maps]
    found += workload_policies(release, component, resolved)
    found += [objects.service(release, component, ports)] if ports else []
    found += [objects.headless(release, component, ports)] if data else []
    found += [*entry_objects(release, component), objects.budget(release, component)]
    pod = _pod(view, component, files, ((DIGEST, digest),) if digest else ())
    if not data:
        return [*found, objects.deployment(release, pod, replicas)]
    storage = release.values.storage
    claims = {} if storage.ephemeral else {_volume(name): storage.size for name in data}
    return [*found, objects.stateful_set(release, pod, replicas, claims)]


def size_of(resolved: Resolved) -> Size:
    """Name how much a copy of a workload asks for and may use."""
    if resolved.program == ENVOY:
        return "envoy"
    return "store" if resolved.data else "service"


def _pod(view: View, component: Component, files: Files, marks: tuple[tuple[str, str], ...]) -> Pod:
    resolved, workload, data = view.resolved, view.resolved.workload, view.resolved.data
    env, storage = view.environment(), view.release.values.storage
    volumes = [*files.volumes]
    if storage.ephemeral:
        volumes += [{"name": _volume(name), "emptyDir": {"sizeLimit": storage.size}} for name in data]
    # A folder of the volume: at its root a file system may keep things of its own.
    mounts = [{"name": _volume(name), "mountPath": f"{DATA}/{inside(name)}", "subPath": "data"} for name in data]
    envoy = resolved.program == ENVOY
    command = (*workload.command, *(ARGUMENTS if envoy else ()))
    listens = [{"name": each.name, "containerPort": each.number, "protocol": "TCP"} for each in workload.ports]
    grace = math.ceil(workload.stop_grace)
    return Pod(
        component=component,
        container=view.container(command, env.variables) | {"ports": listens} | _probes(workload),
        size=size_of(resolved),
        volumes=volumes,
        mounts=[*files.mounts, *mounts],
        roles=roles(resolved),
        before_stop=drain.envoy(_admin(resolved), grace) if envoy else drain.sleep(),
        takes=drain.PROPAGATION + grace,
        annotations=(*env.annotations, *marks),
        about=(*marks, (REPLICAS, str(workload.replicas))),
        stored=f"{len(data) * mebibytes(storage.size)}Mi" if data and storage.ephemeral else "",
    )


def _probes(workload: Workload) -> Object:
    """Return the probes of a workload's container.

    Unless declared otherwise, a workload that accepts connections is alive: not being ready does not restart it.
    """
    ready = _get(workload.ready)
    alive: Object = {"tcpSocket": {"port": workload.ready.port}}
    if workload.live and (workload.live.path, workload.live.port) != (workload.ready.path, workload.ready.port):
        alive = _get(workload.live)
    timeout = {"timeoutSeconds": max(1, math.ceil(workload.ready.timeout))}
    patience = max(10, math.ceil(2 * workload.ready.deadline))  # a slow node must not cause restarts
    return {
        "startupProbe": alive | timeout | {"periodSeconds": 1, "failureThreshold": patience},
        "readinessProbe": ready | timeout | {"periodSeconds": 2, "failureThreshold": 3},
        # A node that is short of CPU must not have its pods restarted, which takes more of it.
        "livenessProbe": alive | {"timeoutSeconds": 5, "periodSeconds": 10, "failureThreshold": 6},
    }


def _get(probe: HttpProbe) -> Object:
    return {"httpGet": {"path": probe.path, "port": probe.port, "scheme": "HTTP"}}


def _volume(data: str) -> str:
    return dns_label(f"data-{data}")


def _admin(resolved: Resolved) -> int:
    if _ADMIN not in resolved.ports:
        raise PermanentError(
            f"`{resolved.name}` runs Envoy without a port `{_ADMIN}`, at which it could be asked to drain",
            hint='declare `Port("admin", 9901, env="")` and let its configuration listen there',
        )
    return resolved.ports[_ADMIN]
