"""The images of the services that the playbooks render."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker_wheels import index
from docker_yard import PYTHON, Yard, opened

from stepflow.targets.building.cache import cache

pytestmark = [pytest.mark.docker, pytest.mark.timeout(400)]

TEMPLATES = Path(__file__).parents[2] / "templates" / "stepflow_templates"
NAMES = sorted(path.parent.name for path in TEMPLATES.glob("*/Dockerfile"))


@pytest.fixture
def yard(tmp_path: Path, docker_client: docker.DockerClient) -> Iterator[Yard]:
    with opened(tmp_path, docker_client) as made:
        yield made


IMPORTS = """
import getpass, importlib, os, pathlib, pkgutil, tempfile
import chassis, service
for package in (service, chassis):
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.startswith("chassis.testing") and not found.name.endswith("__main__"):
            importlib.import_module(found.name)
tempfile.TemporaryFile()
assert pathlib.Path.home() == pathlib.Path("/tmp"), pathlib.Path.home()
assert not os.access("/app", os.W_OK)
print(os.getuid(), "all imported", chassis.__cached__)
"""


async def test_every_service_becomes_an_image_without_a_network_and_shares_its_layers_with_all_others(
    yard: Yard,
) -> None:
    layers: list[list[str]] = []
    yard.put(TEMPLATES / "chassis")
    for name in NAMES:
        yard.put(TEMPLATES / name)
        image = await yard.image(name)
        assert yard.run(image, IMPORTS).startswith("65532 all imported /app/chassis/__pycache__/")
        layers.append(yard.client.images.get(image).attrs["RootFS"]["Layers"])
    base = len(yard.client.images.get(PYTHON).attrs["RootFS"]["Layers"])
    shared = [some for some in zip(*layers, strict=False) if len(set(some)) == 1]
    assert len(layers) == 7
    assert len(shared) >= base + 3  # the standard library's bytecode, what all services import, the chassis


async def test_a_plain_docker_build_takes_the_same_hashes_from_an_index(yard: Yard) -> None:
    for name in ("chassis", "user-service"):
        yard.put(TEMPLATES / name)
    program = "import argon2, asyncpg, service, chassis; print(argon2.__version__, asyncpg.__version__)"
    ours = await yard.image("user-service")
    [house] = (cache() / "wheels").glob("3.13-*")
    with index(house) as url:
        text = f"FROM {PYTHON}\nENV PIP_INDEX_URL={url} PIP_TRUSTED_HOST=127.0.0.1\n"
        base, _ = yard.client.images.build(fileobj=io.BytesIO(text.encode()), labels=yard.who.labels("test"))
        image, _ = yard.client.images.build(
            path=str(yard.root / "out"),
            dockerfile="user-service/Dockerfile",
            buildargs={"BASE": base.id},
            network_mode="host",
            labels=yard.who.labels("test"),
        )
    assert yard.run(image.id, program) == yard.run(ours, program)
