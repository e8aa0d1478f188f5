"""A platform whose images a test builds, and which leaves none of them behind."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import docker

from stepflow.targets.building.image import image_for
from stepflow.targets.contract import Progress, Site
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.targets.docker_api.client import Engine
from stepflow.targets.identity import ID
from stepflow.targets.images import BASE, IMAGES

PYTHON = f"{IMAGES[BASE].repository}:{IMAGES[BASE].tag}"
"""What images are based on."""
LOCKED: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "tmpfs": {"/tmp": ""},  # noqa: S108 - a mount point in a container
    "network_mode": "none",
    "remove": True,
}


@dataclass
class Yard:
    """A platform whose images a test builds, and what was logged during the builds."""

    root: Path
    client: docker.DockerClient
    said: list[Progress] = field(default_factory=list)
    engine: Engine = field(default_factory=Engine)

    @property
    def site(self) -> Site:
        return Site("yard", self.root / "state", self.root / "out")

    @property
    def who(self) -> DockerIdentity:
        return DockerIdentity.of(self.site)

    @property
    def hello(self) -> Path:
        return self.root / "out" / "hello"

    @property
    def log(self) -> Path:
        return self.who.logs / "image-hello.log"

    def put(self, folder: Path) -> Path:
        return Path(shutil.copytree(folder, self.root / "out" / folder.name))

    async def image(self, folder: str = "hello", **options: str) -> str:
        given = {name.replace("_", "-"): value for name, value in options.items()}
        return await image_for(self.engine, self.who, replace(self.site, options=given), folder, self.said.append)

    def run(self, image: str, program: str) -> str:
        """Run Python in a container that may do nothing, as the target does."""
        return bytes(self.client.containers.run(image, ["python", "-c", program], **LOCKED)).decode()

    def steps(self) -> list[str]:
        return [each.answer for each in self.said if re.match(r"\d+/\d+ ", each.answer)]

    def left(self) -> list[str]:
        ours = {"label": f"{ID}={self.who.id}"}
        return [container.name for container in self.client.containers.list(all=True, filters=ours)]


@contextmanager
def opened(root: Path, client: docker.DockerClient) -> Iterator[Yard]:
    """Return a yard; its containers and images are gone afterwards."""
    made = Yard(root, client)
    yield made
    ours = {"label": f"{ID}={made.who.id}"}
    for container in client.containers.list(all=True, filters=ours):
        container.remove(force=True)
    for image in client.images.list(filters=ours):
        client.images.remove(image.id, force=True)
