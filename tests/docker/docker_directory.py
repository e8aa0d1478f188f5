"""A working directory, and what is on the engine because of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import docker
from docker.models.containers import Container
from workplace import Json, Workplace


@dataclass
class Directory(Workplace):
    """A working directory whose platforms run on an engine."""

    target: ClassVar[str] = "docker"
    client: docker.DockerClient = field(kw_only=True)
    _id: str = ""

    @property
    def id(self) -> str:
        """Return the id in the labels of everything of this platform, "" before there is one."""
        for file in (self.root / ".stepflow").glob("*/docker/id"):
            self._id = file.read_text().split()[0]
        return self._id

    @property
    def prefix(self) -> str:
        """What the names of all that is this platform's begin with."""
        return f"{self.state.name}-{self.id}"

    def containers(self) -> dict[str, Container]:
        """Return the containers by the name of their instance, including completed ones."""
        found = self.client.containers.list(all=True, filters=self._ours(), ignore_removed=True)
        return {each.name[len(self.prefix) + 1 :]: each for each in found}

    def ids(self) -> dict[str, str]:
        """Return the containers' ids by the name of their instance."""
        return {name: each.id for name, each in self.containers().items()}

    def images(self) -> dict[str, str]:
        """Return the ids of the images that were built here, by their names."""
        return {tag: str(image.id) for image in self.client.images.list(filters=self._ours()) for tag in image.tags}

    def left(self, *, data: bool = True) -> list[str]:
        """Name all of this platform that is on the engine; without `data` neither volumes nor images."""
        if not self.id:
            return []
        api, filters = self.client.api, self._ours()
        found: list[Json] = [*api.containers(all=True, filters=filters), *api.networks(filters=filters)]
        if data:
            found += [*(api.volumes(filters=filters)["Volumes"] or ()), *api.images(filters=filters)]
        return [each.get("Name") or each.get("Names", [each["Id"]])[0] for each in found]

    def _ours(self) -> dict[str, list[str]]:
        return {"label": [f"dev.stepflow.id={self.id}"]}


@contextmanager
def directory(root: Path, client: docker.DockerClient, document: str) -> Iterator[Directory]:
    """Yield a new directory with a document; in the end nothing of it is on the engine."""
    root = root.resolve()
    root.mkdir(parents=True)
    made = Directory(root, client=client)
    made.write(document)
    try:
        yield made
    finally:
        made.interrupt()
        made.env.clear()
        assert made.id
        for state in (root / ".stepflow").glob("*/journal.db"):
            made.type("down", "--data", "--name", state.parent.name)
    assert made.left() == []
