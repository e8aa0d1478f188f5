"""What tests may rely on in their engine: ports on loopback, names between containers, builds without a network."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import closing
from urllib.request import urlopen

import docker
import pytest
from docker.models.containers import Container
from docker.models.networks import Network
from patience import eventually
from private_engine import Engine
from standins.recipes import RECIPES

pytestmark = pytest.mark.docker
Make = Callable[..., Container]
PYTHON = next(recipe.image for recipe in RECIPES if recipe.name == "python")
SERVE = ("python", "-m", "http.server", "8000", "--directory", "/tmp")  # noqa: S108 - inside the container
FETCH = """
from urllib.request import urlopen
while True:
    try:
        print(urlopen("http://web:8000", timeout=5).status)
        break
    except OSError:
        pass
"""


def answers(container: Container) -> bool:
    container.reload()
    try:
        (binding,) = container.ports["8000/tcp"]
        with urlopen(f"http://127.0.0.1:{binding['HostPort']}", timeout=60) as answer:
            return bool(answer.status == 200)
    except (OSError, KeyError, TypeError, ValueError):
        return False


def test_it_is_what_docker_host_says_and_not_the_engine_of_this_machine(docker_engine: Engine) -> None:
    assert os.environ["DOCKER_HOST"] == docker_engine.host
    with closing(docker.from_env()) as client:
        assert client.info()["DockerRootDir"].endswith("stepflow-tests/engine")


def test_a_published_port_answers_on_loopback(run: Make) -> None:
    container = run(PYTHON, *SERVE, user="65532:65532", ports={"8000/tcp": ("127.0.0.1", None)})
    assert eventually(lambda: answers(container))


def test_containers_of_a_network_find_each_other_by_alias(
    docker_client: docker.DockerClient, network: Network, run: Make
) -> None:
    alias = docker_client.api.create_endpoint_config(aliases=["web"])
    run(PYTHON, *SERVE, network=network.name, networking_config={network.name: alias})
    asking = run(PYTHON, "python", "-c", FETCH, network=network.name)
    assert asking.wait(timeout=90)["StatusCode"] == 0
    assert asking.logs() == b"200\n"


def test_an_image_is_built_without_any_network(docker_client: docker.DockerClient) -> None:
    dockerfile = f"FROM {PYTHON}\nRUN python -c \"import os; print(sorted(os.listdir('/sys/class/net')))\"\n"
    image, said = docker_client.images.build(fileobj=io.BytesIO(dockerfile.encode()), network_mode="none", nocache=True)
    docker_client.images.remove(image.id, force=True)
    assert "['lo']\n" in [line.get("stream") for line in said]


def test_after_a_crash_it_starts_again_and_so_does_what_has_to_always_run(docker_engine: Engine, run: Make) -> None:
    container = run(
        PYTHON, *SERVE, init=True, ports={"8000/tcp": ("127.0.0.1", None)}, restart_policy={"Name": "always"}
    )
    assert eventually(lambda: answers(container))
    with docker_engine.alone():
        docker_engine.kill()
        assert not docker_engine.answers()
        docker_engine.start()
    assert eventually(lambda: answers(container))
