"""The reference workflow on a Docker engine: it is run, changed, broken and taken down, by the command line alone.

The tests of this file are one story about one platform, in their order; each leaves the platform whole.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import time

import docker
import httpx2
import pytest
from docker.errors import NotFound
from docker_directory import Directory, directory
from docker_shop import Shop, none_is_lost, one_mail_each, ordering, steadily_asked
from patience import eventually
from private_engine import Engine
from workplace import Json

from stepflow.targets.images import BASE, IMAGES

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

WORKFLOW = Path(__file__).parents[2] / "examples/microservices/workflow.md"
PYTHON = f"{IMAGES[BASE].repository}:{IMAGES[BASE].tag}"
USERS = "- Playbook: user-service\n"
STARTED, COPIES = 13, 2  # services and servers that run; copies of the user service


@dataclass(frozen=True)
class Story:
    """The platform, and what its first run said."""

    at: Directory
    began: float
    events: tuple[Json, ...]

    def document(self, *, copies: int) -> str:
        """Return the document with so many copies of the user service."""
        return WORKFLOW.read_text(encoding="utf-8").replace(USERS, f"{USERS}- Replicas: {copies}\n")


@pytest.fixture(scope="module")
def story(docker_client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    began, root = time(), tmp_path_factory.mktemp("reference") / "somewhere"
    with directory(root, docker_client, WORKFLOW.read_text(encoding="utf-8")) as at:
        lines = at.run("--json").splitlines()
        yield Story(at, began, tuple(json.loads(line) for line in lines))


@pytest.fixture
def at(story: Story) -> Directory:
    return story.at


def test_all_steps_are_done_and_every_outcome_is_verified_with_evidence(story: Story) -> None:
    finished = story.events[-1]
    assert (finished["event"], finished["status"]) == ("run_finished", "succeeded")
    done = [each["step"] for each in story.events if each.get("outcome") == "done"]
    assert sorted(done) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {each["verdict"] for each in finished["outcomes"]} == {"verified"}
    assert [each["text"] for each in finished["outcomes"] if not each["evidence"]] == []
    assert len(finished["outcomes"]) == 7


def test_status_names_each_container_and_where_it_answers(at: Directory) -> None:
    services, ids = at.services(), {each[:12] for each in at.ids().values()}
    assert len(services) == STARTED
    assert {name for name, each in services.items() if each["state"] != "ready"} == set()
    shown = [each for service in services.values() for each in service["containers"]]
    assert len(shown) == len(set(shown)) == STARTED + 1
    assert set(shown) < ids
    assert services["user-service"]["replicas"] == services["user-service"]["ready"] == COPIES
    for name in ("gateway", "order-service", "service-discovery"):
        assert httpx2.get(f"{services[name]['url']}/").status_code < 500
    assert re.search(r"(?m)^  gateway +ready +1/1  http://127\.0\.0\.1:\d+$", at.type("status"))


def test_commands_that_look_work_as_on_every_target(at: Directory) -> None:
    assert "database system is ready" in at.type("logs", "postgres", "-n", "1000")
    assert "user-service-1 | {" in at.type("logs", "user-service", "-n", "50")
    assert "error: there is no log of `nobody`\nhint: there is: data-p" in at.type("logs", "nobody", expect=2)
    assert "Open the platform's page in the browser" in at.type("open", "--help")
    assert "succeeded" in at.type("runs")


def test_no_secret_is_anywhere_where_someone_may_look(story: Story, docker_client: docker.DockerClient) -> None:
    at, api = story.at, docker_client.api
    texts = [path.read_text().strip() for path in (at.state / "secrets").iterdir() if path.is_file()]
    values = {re.sub(r"^\w+://[^:]*:([^@]*)@.*$", r"\1", text) for text in texts}
    values |= {each["client_secret"] for each in json.loads(at.type("credentials", "--json"))["clients"]}
    assert len(values) >= 8

    def told(what: str, text: object) -> None:
        shown = text if isinstance(text, bytes) else json.dumps(text).encode()
        assert [value for value in values if value.encode() in shown] == [], what

    for name, container in at.containers().items():
        told(name, container.attrs)
        told(f"log of {name}", container.logs())
        if container.status == "running":
            told(f"processes of {name}", container.top())
            environs = (Path(f"/proc/{each[1]}/environ").read_bytes() for each in container.top()["Processes"])
            told(f"environment of {name}", b"".join(environs))
    for tag, image in at.images().items():
        told(tag, [api.inspect_image(image), api.history(image)])
    told("events of the engine", list(docker_client.events(since=int(story.began), until=int(time()), decode=True)))
    told("events of the run", story.events)
    private = at.state / "secrets"
    for path in at.root.rglob("*"):
        if path.is_file() and private not in path.parents:
            told(str(path), path.read_bytes())


def test_second_run_keeps_every_container_and_builds_nothing(at: Directory) -> None:
    containers, images = at.ids(), at.images()
    assert len(images) == 7
    plan = eventually(lambda: _nothing_to_do(at), within=60)
    assert "8 to reuse\n" in plan
    events = [json.loads(line) for line in at.run("--json").splitlines()]
    assert events[-1]["status"] == "succeeded"
    again = [reason for each in events if each.get("action") == "rerun" for reason in each["reasons"]]
    assert [reason for reason in again if "failed: timeout after" not in reason] == []  # where the machine is busy
    assert (at.ids(), at.images()) == (containers, images)


def _nothing_to_do(at: Directory) -> str:
    """Return the plan when it is idle; retry a check that the machine was too busy for."""
    plan = at.type("plan", "workflow.md", "--target", "docker")
    return plan if plan.endswith("nothing to do\n") else ""


def test_changed_service_is_replaced_alone_and_no_one_who_uses_it_notices(at: Directory, shop: Shop) -> None:
    containers, images = at.ids(), at.images()
    source = at.root / at.state.name / "user-service/src/service/account.py"
    source.write_text(f"{source.read_text()}\n# mine\n")
    plan = at.type("plan", "workflow.md", "--target", "docker")
    for line in (
        "build    user-service: what it is made from changed",
        "replace  user-service-1 with user-service-3: what it is made from changed",
        "replace  user-service-2 with user-service-1: what it is made from changed",
    ):
        assert f"      {line}\n" in plan

    customers = [shop.customer(url := at.gateway()) for _ in range(4)]
    with steadily_asked(url, customers, "/api/users/me") as load:
        said = at.run()
    assert (load.bad, load.good > 100) == ([], True)
    assert "step 2 (User Management Service): rerun: edited by you: user-service/src/service/account.py\n" in said
    now = at.ids()
    assert {name for name in containers if now.get(name) != containers[name]} == {"user-service-1", "user-service-2"}
    assert not set(now.values()) & {containers["user-service-1"], containers["user-service-2"]}
    changed = {tag.split(":")[0].rpartition("/")[2] for tag, _ in at.images().items() ^ images.items()}
    assert changed == {"user-service"}


def test_one_more_copy_keeps_all_that_run(story: Story, at: Directory) -> None:
    containers, images = at.ids(), at.images()
    at.write(story.document(copies=COPIES + 1))
    assert "step 2 (User Management Service): rerun: field `Replicas` changed 2 -> 3" in at.run()
    now = at.ids()
    assert now.items() > containers.items()
    assert [name.rpartition("-")[0] for name in now.keys() - containers.keys()] == ["user-service"]
    assert at.images() == images
    assert at.services()["user-service"]["ready"] == COPIES + 1


def test_each_container_that_is_killed_comes_back_and_no_order_is_lost_and_no_mail_sent_twice(
    at: Directory, shop: Shop
) -> None:
    customer, admin, before = shop.customer(at.gateway()), shop.administrator(at), at.ids()
    running = {name: each for name, each in at.containers().items() if each.status == "running"}
    with ordering(customer) as accepted:
        for container in running.values():
            had = len(accepted)
            os.kill(pid := container.attrs["State"]["Pid"], signal.SIGKILL)
            eventually(lambda it=container, was=pid: _runs_again(it, was), within=90)
            eventually(lambda was=had: len(accepted) > was, within=60)
    eventually(lambda: not at.not_ready(), within=60)
    assert at.ids() == before
    assert len(running) == STARTED + COPIES
    none_is_lost(customer, accepted)
    one_mail_each(customer, admin, accepted)


def _runs_again(container: docker.models.containers.Container, pid: int) -> bool:
    container.reload()
    return container.attrs["State"]["Running"] and container.attrs["State"]["Pid"] not in {0, pid}


def test_killed_engine_brings_everything_back_by_itself_and_no_order_is_lost(
    at: Directory, docker_engine: Engine, shop: Shop
) -> None:
    customer, admin, before = shop.customer(at.gateway()), shop.administrator(at), at.ids()
    with docker_engine.alone(), ordering(customer) as accepted:
        eventually(lambda: len(accepted) > 2, within=60)
        docker_engine.kill()
        try:
            said = at.type("status", expect=3)
            assert f"error: no Docker engine answers at {docker_engine.host}: nothing listens there\nhint: " in said
        finally:
            docker_engine.start()
        eventually(lambda: not at.not_ready(), within=120)
        had = len(accepted)
        eventually(lambda: len(accepted) > had, within=90)
    assert at.ids() == before
    none_is_lost(customer, accepted)
    one_mail_each(customer, admin, accepted)
    eventually(lambda: _nothing_to_do(at), within=60)


def test_down_removes_what_is_ours_and_leaves_what_is_not(
    at: Directory, docker_client: docker.DockerClient, shop: Shop
) -> None:
    customer, ours, prefix = shop.customer(at.gateway()), at.ids(), at.prefix
    volumes = {each.name for each in docker_client.volumes.list() if each.name.startswith(f"{prefix}-data-")}
    labels = {"dev.stepflow.platform": at.state.name, "dev.stepflow.id": "000000"}
    foreign = docker_client.containers.create(PYTHON, name=f"{prefix}-mine-1", labels=labels)
    network = docker_client.networks.create(f"{prefix}-mine", labels=labels)
    volume = docker_client.volumes.create(f"{prefix}-data-mine", labels=labels)
    try:
        assert "left its volumes and images, and `.stepflow/" in at.type("down")
        assert at.left(data=False) == []
        assert at.images()
        assert {each.name for each in docker_client.volumes.list()} >= volumes
        at.run()
        assert not ours.items() & at.ids().items()
        customer.sign_in(customer.email, customer.password)

        at.type("down", "--data")
        assert at.left() == []
        assert list((at.root / ".stepflow").iterdir()) == []
        for each in (foreign, network):
            each.reload()
        assert volume.name in {each.name for each in docker_client.volumes.list()}
    finally:
        foreign.remove(force=True)
        network.remove()
        volume.remove()
    with pytest.raises(NotFound):
        docker_client.networks.get(prefix)
