"""A platform is looked for on the engine that it was made on, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from stepflow.errors import UsageError
from stepflow.targets.contract import Site
from stepflow.targets.docker.identity import DockerIdentity, require_bound
from stepflow.targets.docker_api.client import Engine


class Told:
    """An engine that tells what it is."""

    def __init__(self, host: str, folder: str) -> None:
        self.host = host
        self.asked = 0
        self._info = {"ID": "23EL:YXSM", "DockerRootDir": folder}

    async def info(self) -> Mapping[str, Any]:
        self.asked += 1
        return self._info


async def require(who: DockerIdentity, engine: Told) -> None:
    await require_bound(cast("Engine", engine), who)


@pytest.fixture
def who(tmp_path: Path) -> DockerIdentity:
    return DockerIdentity.of(Site("shop", tmp_path / "state", tmp_path / "out"))


async def test_the_first_engine_is_remembered_and_not_asked_again(who: DockerIdentity) -> None:
    first, again = Told("unix:///run/a.sock", "/a"), Told("unix:///run/a.sock", "/a")
    await require(who, first)
    await require(who, again)
    assert (first.asked, again.asked) == (1, 0)


async def test_the_same_engine_by_another_address_is_the_same(who: DockerIdentity) -> None:
    await require(who, Told("unix:///run/a.sock", "/a"))
    await require(who, Told("tcp://127.0.0.1:2375", "/a"))


async def test_another_engine_is_refused_and_the_right_one_named(who: DockerIdentity) -> None:
    await require(who, Told("unix:///run/a.sock", "/a"))
    with pytest.raises(UsageError) as refused:
        await require(who, Told("unix:///run/b.sock", "/b"))
    assert str(refused.value) == (
        "`shop` is on the Docker engine at unix:///run/a.sock, and this is the one at unix:///run/b.sock"
    )
    assert refused.value.hint == (
        "`export DOCKER_HOST=unix:///run/a.sock`, or make another one here with another `--name`"
    )
