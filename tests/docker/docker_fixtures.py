"""Every test that is marked `docker` has the tests' own engine, with the stand-in images, as its `DOCKER_HOST`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import NoReturn

import docker
import pytest
from docker_shop import Shop
from private_engine import Engine, lent, refusal
from standins.debian import NotMade, compose

_ENGINE = pytest.StashKey[Engine]()
_WHY_NOT = pytest.StashKey[str]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the engine before the first test, whose time limit is not meant for making images."""
    config = session.config
    if config.option.collectonly or not any(item.get_closest_marker("docker") for item in session.items):
        return
    config.stash[_WHY_NOT] = refusal()
    if config.stash[_WHY_NOT]:
        return
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    stack = ExitStack()
    config.add_cleanup(stack.close)
    try:
        config.stash[_ENGINE] = stack.enter_context(lent(terminal.write_line if terminal else str))
    except (NotMade, FileNotFoundError) as error:
        config.stash[_WHY_NOT] = str(error)


def decline(why_not: str) -> NoReturn:
    """Skip what needs the engine; in CI (`CI=true`) it fails, since there it must not be missing unseen."""
    if os.environ.get("CI"):
        pytest.fail(why_not, pytrace=False)
    pytest.skip(why_not)


@pytest.fixture(scope="session")
def docker_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Yield the tests' own engine; where there can be none, `decline` says so."""
    why_not = request.config.stash.get(_WHY_NOT, "the test has no mark `docker`")
    if why_not:
        decline(why_not)
    engine = request.config.stash[_ENGINE]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine.host)
        yield engine


@pytest.fixture(autouse=True)
def _engine_of_the_tests(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("docker"):
        request.getfixturevalue("docker_engine")


@pytest.fixture(scope="session")
def docker_client(docker_engine: Engine) -> Iterator[docker.DockerClient]:
    """Return a client of that engine."""
    with docker_engine.client() as client:
        yield client


@pytest.fixture(scope="session")
def docker_compose(docker_engine: Engine) -> str:
    """Return the program `docker-compose` (version 2), which talks to that engine."""
    assert docker_engine
    return str(compose())


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Yield a factory of customers, at any platform's gateway, who leave when the test ends."""
    with closing(Shop()) as made:
        yield made
