"""Containers as the target makes them, and gone after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from docker.models.networks import Network
from docker.models.volumes import Volume

Make = Callable[..., Container]
HARDENED: dict[str, Any] = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


@pytest.fixture
def make(docker_client: docker.DockerClient) -> Iterator[Make]:
    """Make containers, not started yet, under the constraints that the target sets; `tmpfs` adds to /tmp."""
    made: list[Container] = []

    def create(image: str, *command: str, tmpfs: dict[str, str] | None = None, **options: Any) -> Container:  # noqa: ANN401 - whatever the engine takes
        options = {**HARDENED, "tmpfs": {"/tmp": "", **(tmpfs or {})}, **options}  # noqa: S108 - inside the container
        container = docker_client.containers.create(image, list(command), **options)
        made.append(container)
        return container

    yield create
    for container in made:
        container.remove(force=True, v=True)


@pytest.fixture
def run(make: Make) -> Make:
    """Make containers as `make` does, and start them."""

    def start(image: str, *command: str, **options: Any) -> Container:  # noqa: ANN401 - whatever the engine takes
        container = make(image, *command, **options)
        container.start()
        return container

    return start


@pytest.fixture
def network(docker_client: docker.DockerClient, request: pytest.FixtureRequest) -> Iterator[Network]:
    """Yield a network of the test's own; request it before `run`, so that it outlives the containers."""
    network = docker_client.networks.create(request.node.name[:40])
    yield network
    network.remove()


@pytest.fixture
def volume(docker_client: docker.DockerClient) -> Iterator[Volume]:
    """Yield a volume of the test's own; request it before `run`, so that it outlives the containers."""
    volume = docker_client.volumes.create()
    yield volume
    volume.remove()
