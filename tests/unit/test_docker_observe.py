"""What the engine tells of containers, as what a user is told of workloads."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stepflow.errors import PermanentError
from stepflow.targets import Site
from stepflow.targets.docker.container import HostPort, Secret
from stepflow.targets.docker.identity import Identity
from stepflow.targets.docker.look import Condition, Found, found
from stepflow.targets.docker.observe import Sight, State, resting, summary
from stepflow.targets.docker.published import number_of
from stepflow.targets.docker.record import Record, labels
from stepflow.targets.docker.remove import _ranks
from stepflow.targets.docker.wanted import Filling
from stepflow.workload import HttpProbe

WHO = Identity("shop", "0a1b2c", Path("/s/shop"))
RECORD = Record("workload", "hello", 2, digest="d", listens={"http": 8000}, ready=HttpProbe("/", deadline=3))
FOUND = Found("id", RECORD, "running", proven=True, ports={8000: 32768})


def raw(**state: Any) -> dict[str, Any]:  # noqa: ANN401 - what the engine's JSON holds
    usual = {"Status": "running", "StartedAt": "2026-11-22T20:46:29.169524288Z", "ExitCode": 0, "OOMKilled": False}
    return {
        "Id": "id",
        "RestartCount": 3,
        "State": {**usual, "Error": "", **state},
        "Config": {"Labels": {**WHO.labels("workload", "hello"), **labels(RECORD)}},
        "HostConfig": {"RestartPolicy": {"Name": "always"}},
        "NetworkSettings": {
            "Ports": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}], "9000/tcp": None},
            "Networks": {"shop-0a1b2c": {"NetworkID": "net"}},
        },
    }


def test_a_container_is_read_from_what_the_engine_tells() -> None:
    seen = found(raw(), WHO)
    assert seen == replace(FOUND, started="2026-11-22T20:46:29.169524288Z", restarts=3, network="net")
    assert (seen.instance, seen.url) == ("hello-2", "http://127.0.0.1:32768")


def test_a_container_that_does_not_run_has_no_address() -> None:
    assert replace(FOUND, ports={}).url == ""


@pytest.mark.parametrize(
    ("condition", "changes", "told"),
    [
        ("exited", {"code": 3}, ("stopped", "it exited with code 3")),
        ("exited", {"code": 1, "proven": False}, ("failed", "it exited with code 1")),
        ("exited", {"error": "bad mount"}, ("stopped", "it could not be started: bad mount")),
        ("restarting", {"code": 137}, ("starting", "it exited with code 137 (signal 9), and is started again")),
        ("created", {}, ("stopped", "it was made, but never started")),
        ("paused", {}, ("stopped", "it is paused")),
    ],
)
def test_what_does_not_run_says_why(condition: Condition, changes: dict[str, Any], told: tuple[str, str]) -> None:
    assert resting(replace(FOUND, condition=condition, **changes)) == told


@pytest.mark.parametrize(
    ("states", "told"),
    [
        (("ready", "ready"), "ready"),
        (("ready", "starting"), "starting"),
        (("ready", "stopped"), "starting"),
        (("stopped", "stopped"), "stopped"),
        (("ready", "failed"), "failed"),
    ],
)
def test_a_workload_is_as_good_as_its_copies(states: tuple[State, ...], told: State) -> None:
    seen = summary("hello", [Sight(FOUND, state, f"so: {state}") for state in states])
    assert (seen.state, seen.replicas, seen.ready) == (told, 2, states.count("ready"))
    assert seen.detail == next((f"so: {state}" for state in states if state != "ready"), "so: ready")


def test_copies_of_two_makings_have_no_digest() -> None:
    other = replace(FOUND, record=replace(RECORD, digest="e"))
    assert summary("hello", [Sight(FOUND, "ready", ""), Sight(other, "ready", "")]).digest == ""


def test_what_stands_on_something_is_stopped_before_it() -> None:
    needs = {
        "nats": (),
        "database": ("postgres",),
        "postgres": (),
        "orders": ("nats", "database"),
        "gateway": ("gone",),
    }
    there = [Found(name, Record("server", name, needs=each), "running") for name, each in needs.items()]
    assert _ranks(there) == {"nats": 1, "postgres": 1, "database": 2, "orders": 3, "gateway": 2, "gone": 1}


def test_a_platform_has_one_random_id_for_good_and_none_before_it_is_made(tmp_path: Path) -> None:
    site = Site("shop", tmp_path / "state", tmp_path)
    assert Identity.known(site) is None
    who = Identity.of(site)
    assert Identity.of(site) == Identity.known(site) == who
    assert Identity.of(Site("shop", tmp_path / "other", tmp_path)).id != who.id
    assert (tmp_path / "state" / "docker" / "id").stat().st_mode & 0o777 == 0o600
    assert who.container("hello-1") == f"shop-{who.id}-hello-1"


def test_a_copied_platform_is_refused_and_one_that_moved_is_the_same(tmp_path: Path) -> None:
    here, there = (Site("shop", tmp_path / name / "state", tmp_path) for name in ("here", "there"))
    who = Identity.of(here)
    shutil.copytree(here.state, there.state)
    assert Identity.known(here) == who
    with pytest.raises(PermanentError) as caught:
        Identity.of(there)
    assert caught.value.message == f"`{there.state}` is a copy of `{here.state}`, whose platform it would change"
    assert caught.value.hint == f"`rm -r {there.state / 'docker'}`: the copy then gets a platform of its own"
    shutil.rmtree(here.state.parent)
    moved = Identity.known(there)
    assert moved is not None
    assert moved.id == who.id
    shutil.rmtree(there.state / "docker")
    assert Identity.of(there).id != who.id


def test_an_id_that_somebody_spoilt_is_told(tmp_path: Path) -> None:
    site = Site("shop", tmp_path / "state", tmp_path)
    Identity.of(site)
    (tmp_path / "state" / "docker" / "id").write_text("shop", encoding="ascii")
    with pytest.raises(PermanentError, match=r"docker/id` holds no platform's id") as caught:
        Identity.of(site)
    assert caught.value.hint == f"`docker ps -a --filter label=dev.stepflow.state={tmp_path}/state` lists what is there"


def test_a_text_is_put_together_and_its_hash_knows_no_secret() -> None:
    filling = Filling(lambda name: f"s3cret-{name}", lambda port: number_of({"gateway": {"http": 8080}}, port))
    text = ("http://", Secret("admin"), "@127.0.0.1:", HostPort("gateway", "http"))
    assert filling.text(text) == "http://s3cret-admin@127.0.0.1:8080"
    assert filling.hashed(text) != filling.hashed(("http://s3cret-admin@127.0.0.1:8080",))
    with pytest.raises(PermanentError, match="the port `mesh` of `gateway` is not published, or not there yet"):
        filling.text((HostPort("gateway", "mesh"),))
