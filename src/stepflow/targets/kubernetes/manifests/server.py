"""A backing service as objects: a StatefulSet that keeps its data; no manifest holds a password."""

from __future__ import annotations

from dataclasses import dataclass, field

from stepflow.workload import ServerKind

from . import objects
from .drain import sleep
from .environment import Environment, environment
from .model import Component, Object, Release
from .network import server_policy
from .pod import Pod
from .resources import Size

_GRACE = 60  # seconds that a server may need to send its clients away and to write what it holds
_AT_ONCE = sleep(1)
"""Of a single replica: clients wait for its successor, so it stops as soon as it gets no new connections."""


@dataclass(frozen=True, slots=True)
class BackingServer:
    """What differs between the backing services that are made here."""

    kind: ServerKind
    size: Size
    command: tuple[str, ...]
    ports: dict[str, int]  # the first is its clients'
    probes: Object
    data_path: str
    storage: str  # how much the volume holds
    secrets: dict[str, tuple[str, ...]]  # Secret -> keys
    configs: dict[str, str] = field(default_factory=dict)
    env: Environment = field(default_factory=lambda: environment({}, {}))
    volumes: tuple[Object, ...] = ()
    mounts: tuple[Object, ...] = ()
    folder: str = ""  # of the volume that is mounted; "" for the root, where a file system may keep things of its own
    replicas: int = 1
    among: tuple[int, ...] = ()  # ports at which its nodes reach each other
    before_stop: Object = field(default_factory=lambda: _AT_ONCE)


def probes(startup: Object, ready: Object, live: Object) -> Object:
    """Return three probes that ask different questions."""
    return {
        "startupProbe": startup | {"periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 90},
        "readinessProbe": ready | {"periodSeconds": 3, "timeoutSeconds": 3, "failureThreshold": 3},
        "livenessProbe": live | {"periodSeconds": 15, "timeoutSeconds": 5, "failureThreshold": 6},
    }


def objects_of(release: Release, server: BackingServer) -> list[Object]:
    """Return everything that a backing service needs, in the order in which it is applied; its controller is last."""
    component = Component(server.kind, "server")
    files = [objects.config_map(release, component, server.configs)] if server.configs else []
    stored = release.values.storage.ephemeral
    pod = _pod(release, server, component, files)
    return [
        objects.service_account(release, component),
        *files,
        server_policy(release, component, server.kind, server.among),
        objects.service(release, component, server.ports),
        objects.headless(release, component, server.ports),
        objects.budget(release, component),
        objects.stateful_set(release, pod, server.replicas, {} if stored else {"data": server.storage}),
    ]


def _pod(release: Release, server: BackingServer, component: Component, files: list[Object]) -> Pod:
    ephemeral = release.values.storage.ephemeral
    volumes, mounts = objects.secret_volumes(server.secrets)
    for volume, mount in map(objects.config_volume, files):
        volumes.append(volume)
        mounts.append(mount)
    if ephemeral:
        volumes.append({"name": "data", "emptyDir": {"sizeLimit": server.storage}})
    below = {"subPath": server.folder} if server.folder else {}
    mounts.append({"name": "data", "mountPath": server.data_path, **below})
    container: Object = {
        "name": server.kind,
        "image": release.image(server.kind),
        "command": list(server.command),
        "env": list(server.env.variables),
        "ports": [{"name": name, "containerPort": number, "protocol": "TCP"} for name, number in server.ports.items()],
    }
    return Pod(
        component=component,
        container=container | server.probes,
        size=server.size,
        volumes=[*volumes, *server.volumes],
        mounts=[*mounts, *server.mounts],
        before_stop=server.before_stop,
        takes=_GRACE,
        annotations=server.env.annotations,
        stored=server.storage if ephemeral else "",
    )
