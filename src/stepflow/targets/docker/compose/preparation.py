"""The service that makes secrets and files: what compose is told of it, and what it is told itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import PurePosixPath

from stepflow.errors import PermanentError
from stepflow.targets.docker.compose.service import (
    LOGGING,
    base_image,
    data_volume,
    files_volume,
    hardening,
    labels,
    limited,
)
from stepflow.targets.docker.compose.setup.prepare import SECRETS
from stepflow.targets.docker.compose.text import Ports, Variable, YamlNode, published
from stepflow.targets.docker.container import FILES, LIMITS, Container, File, HostPort, Secret
from stepflow.targets.secretfiles import inside

FOLDER = "compose"
"""Where its files are in the rendered tree."""
SECRETS_VOLUME = "secrets"


def files(containers: Sequence[Container], ports: Ports) -> Mapping[str, bytes]:
    """Return the files of its image by their place in the tree. Raises `PermanentError` for a path that leads out."""
    source = resources.files("stepflow.targets.docker.compose.setup")
    wanted = {"files": _own_files(containers, ports), "folders": _folders(containers)}
    return {
        f"{FOLDER}/Dockerfile": source.joinpath("Dockerfile").read_bytes(),
        f"{FOLDER}/setup.py": source.joinpath("prepare.py").read_bytes(),
        f"{FOLDER}/setup.json": json.dumps(wanted, indent=1, sort_keys=True).encode() + b"\n",
    }


def setup_service(platform: str, containers: Sequence[Container], ports: Ports, base: str) -> YamlNode:
    """Return how compose should run it."""
    said: dict[str, YamlNode] = {
        **hardening(),
        **limited(LIMITS["setup"]),
        "build": {"args": {"BASE": base_image(base)}, "context": FOLDER},
        "cap_add": ["CHOWN", "DAC_OVERRIDE"],  # some images own the volume that a folder is made in
        "environment": {variable.name: variable for variable in _variables(containers, ports)},
        "labels": labels(platform, "setup"),
        "logging": LOGGING,
        "network_mode": "none",
        "pull_policy": "build",  # its data is in its image, so it follows a changed `setup.json` without being told
        "restart": "no",
        "user": "0:0",
        "volumes": [f"{SECRETS_VOLUME}:{SECRETS}", *_mounts(containers)],
    }
    return {key: value for key, value in said.items() if value != {}}


def _own_files(containers: Sequence[Container], ports: Ports) -> list[object]:
    return [
        {
            "folder": f"/files/{container.name}",
            "group": _owner(container)[1],
            "files": {_inside(file): [_piece(piece, ports) for piece in file.content] for file in container.files},
        }
        for container in containers
        if container.files
    ]


def _folders(containers: Sequence[Container]) -> list[object]:
    wanted = {
        (f"/data/{volume.name}/{inside(volume.folder)}", *_owner(container))
        for container in containers
        for volume in container.volumes
        if volume.folder
    }
    return [{"path": path, "user": user, "group": group} for path, user, group in sorted(wanted)]


def _mounts(containers: Sequence[Container]) -> list[str]:
    own = {f"{files_volume(container)}:/files/{container.name}" for container in containers if container.files}
    volumes = [volume for container in containers for volume in container.volumes if volume.folder]
    return sorted(own | {f"{data_volume(volume)}:/data/{volume.name}" for volume in volumes})


def _variables(containers: Sequence[Container], ports: Ports) -> list[Variable]:
    pieces = [piece for container in containers for file in container.files for piece in file.content]
    return [published(piece, ports) for piece in pieces if isinstance(piece, HostPort)]


def _owner(container: Container) -> tuple[int, int]:
    user, _, group = container.user.partition(":")
    return int(user), int(group)


def _inside(file: File) -> str:
    path = PurePosixPath(file.path)
    if not path.is_relative_to(FILES) or ".." in path.parts:
        raise PermanentError(f"the file `{file.path}` is not below `{FILES}`")
    return str(path.relative_to(FILES))


def _piece(piece: str | Secret | HostPort, ports: Ports) -> object:
    match piece:
        case str():
            return piece
        case Secret():
            return {("given" if piece.given else "secret"): inside(piece.name)}
        case HostPort():
            return {"variable": published(piece, ports).name}
