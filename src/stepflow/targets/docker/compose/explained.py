"""The comments at the head of `compose.yaml`: how to start, stop and remove the platform, where its secrets are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stepflow.targets.docker.compose.setup.prepare import SECRETS
from stepflow.targets.docker.compose.text import Ports
from stepflow.targets.docker.container import Container, Secret

_CONTROL = re.compile(r"[^ -~]")


def head(platform: str, containers: Sequence[Container], ports: Ports) -> str:
    """Return the comments, each line of them safe whatever the names in it are."""
    lines = [*_commands(platform), *_ports(ports), *_secrets(containers)]
    return "".join(f"# {_CONTROL.sub('?', line)}".rstrip() + "\n" for line in lines)


def _commands(platform: str) -> Iterator[str]:
    yield f"The platform `{platform}` for Docker Compose 2.20 or later. stepflow wrote this; your edits are kept."
    yield ""
    yield "  start, or take over what you changed:  docker compose up --build --wait"
    yield "  what runs, what it says:               docker compose ps; docker compose logs --follow SERVICE"
    yield "  stop, keep the data:                   docker compose down"
    yield "  remove it with all data and secrets:   docker compose down --volumes --rmi local"


def _ports(ports: Ports) -> Iterator[str]:
    yield ""
    yield "Ports are published on 127.0.0.1. Other numbers: in the environment, or in the file `.env` beside this one."
    for port, variable in sorted(ports.items(), key=lambda pair: pair[1].name):
        yield f"  {variable.name}={variable.default}  ({port.workload}, {port.port})"


def _secrets(containers: Sequence[Container]) -> Iterator[str]:
    yield ""
    yield "Secrets are random, made by the service `setup` and kept in the volume `secrets`; each service has copies of"
    yield "its own. To read one:"
    whole = [
        (container.name, file.path, file.content[0])
        for container in containers
        for file in container.files
        if len(file.content) == 1 and isinstance(file.content[0], Secret) and container.kind == "workload"
    ]
    for name, path, _ in whole:
        yield f"  docker compose exec {name} cat {path}"
    for name in sorted({secret.name for _, _, secret in whole if secret.given}):
        yield f"Only you know `{name}`. After the first start, which asks for it, put it there and start again:"
        yield f"  docker compose cp FILE setup:{SECRETS / name}"
