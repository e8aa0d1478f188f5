"""From a container as it should be to a service of a compose file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from stepflow.errors import PermanentError
from stepflow.targets.docker.compose.text import Joined, Ports, Variable, YamlNode, image, joined, published
from stepflow.targets.docker.container import FILES, Build, Container, HostPort, Limits, Listen, Secret, Volume

PREPARE = "setup"
"""The service that makes secrets and files before all others."""
_LOCALHOST = "127.0.0.1"
_PERIOD = 100_000  # microseconds, over which processor time is counted
_HEALTH_TIMEOUT = 3.0  # seconds
_HEALTH_RETRIES = 3
_OFTEN, _SELDOM = 2.0, 5.0
"""Seconds between two questions; the first comes after as many. Seldom where nothing waits for the answer and each
question starts an interpreter. An engine older than 25 knows no `start_interval`."""

LOGGING: YamlNode = {"driver": "json-file", "options": {"max-file": "3", "max-size": "10m"}}


def service(platform: str, container: Container, others: Mapping[str, Container], ports: Ports, base: str) -> YamlNode:
    """Return how compose should run it. Raises `PermanentError` for a reference to what is not declared."""
    said: dict[str, YamlNode] = {
        **_image(container, base),
        **hardening(),
        **limited(container.limits),
        **_health(container, others),
        "command": [joined(text, ports) for text in container.command],
        "depends_on": _depends(container, others),
        "environment": {name: joined(text, ports) for name, text in container.env.items()},
        "labels": labels(platform, container.kind) | _files_label(container, ports),
        "logging": LOGGING,
        "networks": ["default"],
        "ports": [_port(container, listen, ports) for listen in container.listens if listen.wish is not None],
        "scale": container.replicas,
        "restart": "no" if container.kind == "setup" else "always",
        "stop_grace_period": seconds(container.stop_grace),
        "stop_signal": container.stop_signal,
        "tmpfs": [f"{path}:size=64m,mode=1777" for path in container.tmpfs],
        "user": container.user,
        "volumes": _mounts(container),
    }
    return {key: value for key, value in said.items() if value not in ([], {})}


def hardening() -> dict[str, YamlNode]:
    """What holds for every service."""
    return {"cap_drop": ["ALL"], "init": True, "read_only": True, "security_opt": ["no-new-privileges:true"]}


def limited(limits: Limits) -> dict[str, YamlNode]:
    """Return what it may use at most. A quota, for `cpus: 2` is an error on a machine with one processor."""
    return {
        "cpu_period": _PERIOD,
        "cpu_quota": round(limits.cpus * _PERIOD),
        "mem_limit": f"{limits.memory}m",
        "memswap_limit": f"{limits.memory}m",
        "pids_limit": limits.pids,
    }


def labels(platform: str, kind: str) -> dict[str, YamlNode]:
    """Return the labels of the platform's things, without the id by which the Docker target knows its own."""
    return {"dev.stepflow.kind": kind, "dev.stepflow.platform": platform}


def files_volume(container: Container) -> str:
    """Return the name of the volume with a service's own files."""
    return f"files-{container.name}"


def data_volume(volume: Volume) -> str:
    """Return the name of a volume with data: no other kind of volume has this beginning."""
    return f"data-{volume.name}"


def seconds(number: float) -> str:
    """Format a duration as compose reads it."""
    return f"{number:g}s"


def has_files(container: Container) -> bool:
    """Return whether something must be made for it before it starts."""
    return bool(container.files) or any(volume.folder for volume in container.volumes)


def _image(container: Container, base: str) -> dict[str, YamlNode]:
    if isinstance(container.image, str):
        return {"image": image(container.image)}
    folder = container.image.context
    return {"build": {"args": {"BASE": base_image(base)}, "context": ".", "dockerfile": f"{folder}/Dockerfile"}}


def base_image(reference: str) -> YamlNode:
    """Return the image that all others are built on."""
    return image(reference, "BASE_IMAGE")


def _health(container: Container, others: Mapping[str, Container]) -> dict[str, YamlNode]:
    if not container.health:
        return {"healthcheck": {"disable": True}} if container.kind == "setup" else {}
    awaited = any(container.name in other.needs for other in others.values())
    check: YamlNode = {
        "interval": seconds(_SELDOM if isinstance(container.image, Build) and not awaited else _OFTEN),
        "retries": _HEALTH_RETRIES,
        "start_period": seconds(container.deadline),
        "test": ["CMD", *container.health],
        "timeout": seconds(_HEALTH_TIMEOUT),
    }
    return {"healthcheck": check}


def _depends(container: Container, others: Mapping[str, Container]) -> dict[str, YamlNode]:
    conditions = {name: _condition(container, name, others) for name in container.needs}
    if has_files(container):
        conditions[PREPARE] = "service_completed_successfully"
    return {name: {"condition": condition} for name, condition in conditions.items()}


def _condition(container: Container, name: str, others: Mapping[str, Container]) -> str:
    if name not in others:
        raise PermanentError(f"`{container.name}` needs `{name}`, which is not declared")
    if others[name].kind == "setup":
        return "service_completed_successfully"
    return "service_healthy" if others[name].health else "service_started"


def _files_label(container: Container, ports: Ports) -> dict[str, YamlNode]:
    """Let compose replace a service whose files changed: to it a volume is the same, whatever is in it."""
    if not container.files:
        return {}
    plain = [[file.path, [_name(piece) for piece in file.content]] for file in container.files]
    digest = hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:12]
    pieces = (piece for file in container.files for piece in file.content)
    used = dict.fromkeys(published(piece, ports) for piece in pieces if isinstance(piece, HostPort))
    return {"dev.stepflow.files": Joined((digest, *(part for variable in used for part in (" ", variable))))}


def _name(piece: str | Secret | HostPort) -> object:
    match piece:
        case str():
            return piece
        case Secret():
            return ["secret", piece.name]
        case HostPort():
            return ["port", piece.workload, piece.port]


def _port(container: Container, listen: Listen, ports: Ports) -> YamlNode:
    if container.replicas > 1:  # they cannot share one number: the engine chooses
        return f"{_LOCALHOST}::{listen.number}"
    chosen: Variable = published(HostPort(container.name, listen.name), ports)
    return Joined((f"{_LOCALHOST}:", chosen, f":{listen.number}"))


def _mounts(container: Container) -> list[YamlNode]:
    files: list[YamlNode] = [f"{files_volume(container)}:{FILES}:ro"] if container.files else []
    return [*files, *(f"{data_volume(volume)}:{volume.path}" for volume in container.volumes)]
