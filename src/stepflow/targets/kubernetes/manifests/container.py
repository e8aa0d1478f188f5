"""The container of a workload, and of the Job that migrates its database: image, environment, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stepflow.errors import PermanentError
from stepflow.handoff import ServerFile, Value
from stepflow.targets.references import server_files
from stepflow.workload import Workload

from . import objects
from .environment import Environment, environment, literal
from .model import Component, Object, Platform
from .names import secret_key, secret_name
from .resolve import EVERYWHERE, resolve, resolve_json, secret_files
from .slot import json_text, text

ENVOY = "envoy"
_PYTHON = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}  # the root file system is read-only
_REPLICAS = 3  # that JetStream keeps of a stream; more nodes hold more streams


@dataclass(frozen=True, slots=True)
class Files:
    """What a workload's pods find as files."""

    config_maps: tuple[Object, ...]
    volumes: tuple[Object, ...]
    mounts: tuple[Object, ...]


def program(workload: Workload) -> str:
    """Name what a workload runs. Raises `PermanentError` for a program that has no image here."""
    found = str(workload.command[0])
    if found != ENVOY and not workload.context:
        raise PermanentError(
            f"workload `{workload.name}` runs `{found}`, for which no image is known",
            hint="known is `envoy`; any other program needs a `context` with a Dockerfile",
        )
    return found


def container(platform: Platform, workload: Workload, command: Sequence[Value], variables: Sequence[Object]) -> Object:
    """Return the container of a workload that runs a command."""
    own = workload.context and program(workload) != ENVOY
    if own and workload.context not in platform.built:
        raise PermanentError(f"no image of `{workload.context}`, which `{workload.name}` runs, was built")
    return {
        "name": workload.name,
        "image": platform.built[workload.context] if own else platform.image(ENVOY),
        "command": [literal(resolve(platform, workload, part)) for part in command],
        "env": list(variables),
    }


def told(platform: Platform, workload: Workload) -> Environment:
    """Return what a workload is told."""
    plain = {} if program(workload) == ENVOY else dict(_PYTHON)
    plain |= {"HOST": EVERYWHERE, "SERVICE": workload.name}
    plain |= {port.env: str(port.number) for port in workload.ports if port.env}
    plain |= {"NATS_REPLICAS": str(min(_REPLICAS, platform.values.nats.nodes))} if _has_nats(platform, workload) else {}
    plain |= {name: resolve(platform, workload, value) for name, value in workload.env.items()}
    return environment(plain, {"ADVERTISE_HOST": "status.podIP", "INSTANCE": "metadata.name"})


def files_of(platform: Platform, workload: Workload, component: Component) -> Files:
    """Return a workload's secrets and configurations as files."""
    keys: dict[str, set[str]] = {}
    for reference in secret_files(platform, workload):
        keys.setdefault(secret_name(platform, reference), set()).add(secret_key(platform, reference))
    volumes, mounts = objects.secret_files(keys)
    texts = config_texts(platform, workload)
    config_maps = [objects.config_map(platform, component, texts)] if texts else []
    for volume, mount in map(objects.config_files, config_maps):
        volumes.append(volume)
        mounts.append(mount)
    return Files(tuple(config_maps), tuple(volumes), tuple(mounts))


def config_texts(platform: Platform, workload: Workload) -> Mapping[str, str]:
    """Return the text of a workload's configuration files, their references resolved."""
    return {
        name: text(json_text(resolve_json(platform, workload, document)), "\n")
        for name, document in sorted(workload.configs.items())
    }


def _has_nats(platform: Platform, workload: Workload) -> bool:
    return not platform.external("nats") and ServerFile("nats") in server_files(workload)
