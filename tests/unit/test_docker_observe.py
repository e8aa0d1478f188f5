"""What the engine tells of containers, as what a user is told of workloads."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stepflow.errors import PermanentError
from stepflow.targets.contract import Site
from stepflow.targets.docker.container import LIMITS, Container, HostPort, Secret
from stepflow.targets.docker.filled import Filled
from stepflow.targets.docker.identity import DockerIdentity
from stepflow.targets.docker.inspected import Condition, ContainerRecord, Inspected, Reply, inspected, labels, settings
from stepflow.targets.docker.observed import State, state, summary
from stepflow.targets.docker.remove import _ranks
from stepflow.workload import HttpProbe

WHO = DockerIdentity("shop", "0a1b2c", Path("/s/shop"))
RECORD = ContainerRecord("workload", "hello", 2, digest="d", listens={"http": 8000}, ready=HttpProbe("/", deadline=3))
FOUND = Inspected("id", RECORD, "running", policy="always", ports={8000: 32768})


def raw(**state: Any) -> dict[str, Any]:  # noqa: ANN401 - what the engine's JSON holds
    usual = {"Status": "running", "StartedAt": "2026-11-22T20:46:29.169524288Z", "ExitCode": 0, "OOMKilled": False}
    return {
        "Id": "id",
        "Name": "/shop-0a1b2c-hello-2",
        "Image": "sha256:1",
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
    seen = inspected(raw(), WHO)
    told = {"started": "2026-11-22T20:46:29.169524288Z", "restarts": 3, "network": "net", "image": "sha256:1"}
    told |= {"name": "shop-0a1b2c-hello-2"}
    assert seen == replace(FOUND, **told, settings=settings(raw()["Config"], raw()["HostConfig"]))
    assert (seen.instance, seen.url) == ("hello-2", "http://127.0.0.1:32768")


@pytest.mark.parametrize(
    "spoilt",
    [
        {"dev.stepflow.care": "{"},
        {"dev.stepflow.care": "[]"},
        {"dev.stepflow.care": '{"listens": 5}'},
        {"dev.stepflow.care": '{"published": {"http": "many"}}'},
        {"dev.stepflow.care": '{"grace": "long"}'},
        {"dev.stepflow.care": '{"grace": NaN}'},
        {"dev.stepflow.care": '{"drain": []}'},
        {"dev.stepflow.care": '{"ready": {"speed": 3}}'},
        {"dev.stepflow.care": '{"ready": "/"}'},
        {"dev.stepflow.number": "two"},
        {"dev.stepflow.number": "-1"},
        {"dev.stepflow.meaning": ""},
        {"dev.stepflow.meaning": '{"variable `X`": 1}'},
        {"dev.stepflow.kind": "thing"},
    ],
)
def test_a_container_whose_labels_cannot_be_read_is_known_by_its_name(spoilt: dict[str, str]) -> None:
    told = raw()
    told["Config"]["Labels"] |= spoilt
    seen = inspected(told, WHO)
    assert (seen.readable, seen.instance) == (False, "hello-2")
    assert seen.record == ContainerRecord("workload", "hello", 2, "d")


def test_a_container_that_lost_its_labels_but_the_platforms_id_is_known_by_its_name() -> None:
    told = raw()
    told["Config"]["Labels"] = {"dev.stepflow.id": WHO.id, "dev.stepflow.care": "?"}
    assert inspected(told, WHO).record.owner == "hello-2"


def test_a_container_that_does_not_run_has_no_address() -> None:
    assert replace(FOUND, ports={}).url == ""


@pytest.mark.parametrize(
    ("condition", "changes", "told"),
    [
        ("exited", {"code": 3}, ("stopped", "exited with code 3")),
        ("exited", {"code": 1, "policy": "no"}, ("failed", "exited with code 1")),
        ("exited", {"error": "bad mount"}, ("stopped", "could not be started: bad mount")),
        ("restarting", {"code": 137}, ("starting", "exited with code 137 (signal 9); the engine restarts it")),
        ("created", {}, ("stopped", "created, but never started")),
        ("paused", {}, ("stopped", "paused")),
    ],
)
def test_what_does_not_run_says_why(condition: Condition, changes: dict[str, Any], told: tuple[str, str]) -> None:
    assert state(replace(FOUND, condition=condition, **changes)) == told


def copy(how: State) -> Inspected:
    match how:
        case "ready":
            return replace(FOUND, reply=Reply(ok=True, text="so: ready"))
        case "starting":
            return replace(FOUND, reply=Reply(ok=False, text="so: starting"))
        case "stopped":
            return replace(FOUND, condition="exited", error="so: stopped")
        case "failed":
            return replace(FOUND, condition="exited", error="so: failed", policy="no")


@pytest.mark.parametrize(
    ("states", "told", "detail"),
    [
        (("ready", "ready"), "ready", "so: ready"),
        (("ready", "starting"), "starting", "so: starting"),
        (("ready", "stopped"), "starting", "could not be started: so: stopped"),
        (("stopped", "stopped"), "stopped", "could not be started: so: stopped"),
        (("ready", "failed"), "failed", "could not be started: so: failed"),
    ],
)
def test_a_workload_is_as_good_as_its_copies(states: tuple[State, ...], told: State, detail: str) -> None:
    seen = summary("hello", [copy(how) for how in states])
    assert (seen.state, seen.replicas, seen.ready, seen.detail) == (told, 2, states.count("ready"), detail)


def test_copies_of_two_makings_have_no_digest() -> None:
    other = replace(FOUND, record=replace(RECORD, digest="e"))
    assert summary("hello", [FOUND, other]).digest == ""


def test_what_stands_on_something_is_stopped_before_it() -> None:
    needs = {
        "nats": (),
        "database": ("postgres",),
        "postgres": (),
        "orders": ("nats", "database"),
        "gateway": ("gone",),
    }
    there = [Inspected(name, ContainerRecord("server", name, needs=each), "running") for name, each in needs.items()]
    assert _ranks(there) == {"nats": 1, "postgres": 1, "database": 2, "orders": 3, "gateway": 2, "gone": 1}


def test_a_platform_has_one_random_id_for_good_and_none_before_it_is_made(tmp_path: Path) -> None:
    site = Site("shop", tmp_path / "state", tmp_path)
    assert DockerIdentity.known(site) is None
    who = DockerIdentity.of(site)
    assert DockerIdentity.of(site) == DockerIdentity.known(site) == who
    assert DockerIdentity.of(Site("shop", tmp_path / "other", tmp_path)).id != who.id
    assert (tmp_path / "state" / "docker" / "id").stat().st_mode & 0o777 == 0o600
    assert who.container("hello-1") == f"shop-{who.id}-hello-1"


def test_a_copied_platform_is_refused_and_one_that_moved_is_the_same(tmp_path: Path) -> None:
    here, there = (Site("shop", tmp_path / name / "state", tmp_path) for name in ("here", "there"))
    who = DockerIdentity.of(here)
    shutil.copytree(here.state, there.state)
    assert DockerIdentity.known(here) == who
    with pytest.raises(PermanentError) as caught:
        DockerIdentity.of(there)
    assert caught.value.message == f"`{there.state}` is a copy of `{here.state}`, whose platform it would change"
    assert caught.value.hint == f"`rm -r {there.state / 'docker'}`: the copy then gets a platform of its own"
    shutil.rmtree(here.state.parent)
    moved = DockerIdentity.known(there)
    assert moved is not None
    assert moved.id == who.id
    shutil.rmtree(there.state / "docker")
    assert DockerIdentity.of(there).id != who.id


def test_an_id_that_someone_spoilt_is_told(tmp_path: Path) -> None:
    site = Site("shop", tmp_path / "state", tmp_path)
    DockerIdentity.of(site)
    (tmp_path / "state" / "docker" / "id").write_text("shop", encoding="ascii")
    with pytest.raises(PermanentError, match=r"docker/id` holds no platform's id") as caught:
        DockerIdentity.of(site)
    assert caught.value.hint == f"`docker ps -a --filter label=dev.stepflow.state={tmp_path}/state` lists what is there"


def test_a_text_is_put_together_and_its_hash_knows_no_secret() -> None:
    text = ("http://", Secret("admin"), "@127.0.0.1:", HostPort("gateway", "http"))
    container = Container("x", "workload", "x", (), LIMITS["service"], env={"X": text})
    filled = Filled(container, "", {"gateway": {"http": 8080}}, {"admin": "sealed"})
    assert filled.text(text, {"admin": "s3cret"}) == "http://s3cret@127.0.0.1:8080"
    open_text = replace(container, env={"X": ("http://s3cret@127.0.0.1:8080",)})
    assert filled.parts["variable `X`"] != replace(filled, container=open_text).parts["variable `X`"]
    with pytest.raises(PermanentError) as caught:
        filled.text((HostPort("gateway", "mesh"),), {})
    assert caught.value.message == "the port `mesh` of `gateway` is not published, or does not exist yet"
