"""The compose file as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stepflow.errors import PermanentError
from stepflow.targets.docker.compose.explained import head
from stepflow.targets.docker.compose.preparation import SECRETS_VOLUME, files, setup_service
from stepflow.targets.docker.compose.service import PREPARE, data_volume, files_volume, labels, service
from stepflow.targets.docker.compose.text import Variable, YamlNode, dumped, port_variable
from stepflow.targets.docker.container import Container, HostPort


def described(platform: str, containers: Sequence[Container], base: str) -> Mapping[str, bytes]:
    """Return `compose.yaml` and what it builds `setup` from, by their paths in the rendered tree.

    `base` is the image that all others are built on. Returns nothing for a platform without containers. Raises
    `PermanentError` for a container that refers to something that is not declared.
    """
    if not containers:
        return {}
    ports = _ports(containers)
    containers = _adopted(containers)
    by_name = {container.name: container for container in containers}
    if PREPARE in by_name:
        raise PermanentError(f"a workload cannot be called `{PREPARE}`", hint="compose needs that name for its own")
    services: dict[str, YamlNode] = {
        container.name: service(platform, container, by_name, ports, base) for container in containers
    }
    services[PREPARE] = setup_service(platform, containers, ports, base)
    document: YamlNode = {
        "name": platform,
        "networks": {"default": {"labels": labels(platform, "network")}},
        "services": services,
        "volumes": {name: {"labels": labels(platform, "volume")} for name in _volumes(containers)},
    }
    return {"compose.yaml": (head(platform, containers, ports) + dumped(document)).encode(), **files(containers, ports)}


def _adopted(containers: Sequence[Container]) -> Sequence[Container]:
    """Let a workload need each one-shot container that nothing needs: else `up --wait` takes its end for a failure."""
    needed = {need for container in containers for need in container.needs}
    alone = tuple(each.name for each in containers if each.kind == "setup" and each.name not in needed)
    first = next((each for each in containers if each.kind == "workload"), None)
    if first is None or not alone:
        return containers
    return [replace(each, needs=(*each.needs, *alone)) if each is first else each for each in containers]


def _ports(containers: Sequence[Container]) -> Mapping[HostPort, Variable]:
    return {
        port: port_variable(port, listen.wish)
        for container in containers
        for listen in container.listens
        if listen.wish is not None
        for port in [HostPort(container.name, listen.name)]
    }


def _volumes(containers: Sequence[Container]) -> Sequence[str]:
    own = {files_volume(container) for container in containers if container.files}
    data = {data_volume(volume) for container in containers for volume in container.volumes}
    return sorted({SECRETS_VOLUME} | own | data)
