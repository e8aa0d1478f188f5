"""The objects of one workload."""

from __future__ import annotations

import math

from stepflow.errors import PermanentError
from stepflow.targets.envoy import ARGUMENTS
from stepflow.workload import Workload

from . import drain, objects
from .container import ENVOY, Files, container, files_of, program, told
from .entry import entry_objects
from .model import Component, Object, Platform
from .names import DATA, DIGEST, REPLICAS, dns_label, require_names
from .network import roles, workload_policies
from .pod import Pod
from .probes import workload_probes
from .resolve import data_names
from .resources import Size, mebibytes

_ADMIN = "admin"
"""The port of Envoy at which it is asked to drain."""


def workload_objects(platform: Platform, workload: Workload, digest: str) -> list[Object]:
    """Return everything that one workload needs, in the order in which it is applied; its controller is last.

    `digest` is that of all it is made from ("" in files): another one replaces the pods. Raises `PermanentError` for a
    name that Kubernetes would not take, and for what the workload refers to and is not there.
    """
    require_names(workload)
    component = Component(workload.name, "service")
    ports = {port.name: port.number for port in workload.ports}
    data = data_names(workload)
    files = files_of(platform, workload, component)
    found = [objects.service_account(platform, component), *files.config_maps]
    found += workload_policies(platform, component, workload)
    found += [objects.service(platform, component, ports)] if ports else []
    found += [objects.headless(platform, component, ports)] if data else []
    found += [*entry_objects(platform, component), objects.budget(platform, component)]
    pod = _pod(platform, workload, files, ((DIGEST, digest),) if digest else ())
    if not data:
        return [*found, objects.deployment(platform, pod, workload.replicas)]
    storage = platform.values.storage
    claims = {} if storage.ephemeral else {_volume(name): storage.size for name in data}
    return [*found, objects.stateful_set(platform, pod, workload.replicas, claims)]


def size_of(workload: Workload) -> Size:
    """Name how much a copy of a workload asks for and may use."""
    if program(workload) == ENVOY:
        return "envoy"
    return "store" if data_names(workload) else "service"


def _pod(platform: Platform, workload: Workload, files: Files, marks: tuple[tuple[str, str], ...]) -> Pod:
    env = told(platform, workload)
    data = data_names(workload)
    storage = platform.values.storage
    volumes = [*files.volumes]
    if storage.ephemeral:
        volumes += [{"name": _volume(name), "emptyDir": {"sizeLimit": storage.size}} for name in data]
    # A folder of the volume: at its root a file system may keep things of its own.
    mounts = [{"name": _volume(name), "mountPath": f"{DATA}/{name}", "subPath": "data"} for name in data]
    envoy = program(workload) == ENVOY
    command = (*workload.command, *(ARGUMENTS if envoy else ()))
    listens = [{"name": each.name, "containerPort": each.number, "protocol": "TCP"} for each in workload.ports]
    grace = math.ceil(workload.stop_grace)
    return Pod(
        component=Component(workload.name, "service"),
        container=container(platform, workload, command, env.variables)
        | {"ports": listens}
        | workload_probes(workload),
        size=size_of(workload),
        volumes=volumes,
        mounts=[*files.mounts, *mounts],
        roles=roles(workload),
        before_stop=drain.envoy(_admin(workload), grace) if envoy else drain.sleep(),
        takes=drain.PROPAGATION + grace,
        annotations=(*env.annotations, *marks),
        about=(*marks, (REPLICAS, str(workload.replicas))),
        stored=f"{len(data) * mebibytes(storage.size)}Mi" if data and storage.ephemeral else "",
    )


def _volume(data: str) -> str:
    return dns_label(f"data-{data}")


def _admin(workload: Workload) -> int:
    numbers = {port.name: port.number for port in workload.ports}
    if _ADMIN not in numbers:
        raise PermanentError(
            f"`{workload.name}` runs Envoy without a port `{_ADMIN}`, at which it could be asked to drain",
            hint='declare `Port("admin", 9901, env="")` and let its configuration listen there',
        )
    return numbers[_ADMIN]
