"""Runs that end early: by a mistake in the user's source, a killed engine, a killed command; `resume` continues."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import docker
import httpx2
import pytest
from docker_directory import Directory, directory
from docker_shop import Shop
from patience import eventually
from private_engine import Engine

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

GATEWAY = "# Duo\n\n## Step 1: Gateway\n- Playbook: service-discovery\n- Prompt: service discovery and API gateway\n"
USERS = "\n## Step 2: Users\n- Playbook: user-service\n- Replicas: 1\n- RelyPreviousStep: yes\n- Prompt: users\n"
REUSED = "step 1 (Gateway): unchanged and healthy: reused\n"
ALL = {"gateway-1", "service-discovery-1", "nats", "postgres", "database-users", "user-service-1"}
UNLUCKY = '["python", "-c", "raise SystemExit(\'no such luck\')"]'
NOWHERE = "http://127.0.0.1:9/simple"  # an index that cannot be reached


@pytest.fixture
def new(docker_client: docker.DockerClient, tmp_path: Path) -> Iterator[Directory]:
    """Yield a directory in which nothing was run yet."""
    with directory(tmp_path / "new", docker_client, GATEWAY + USERS) as made:
        yield made


@pytest.fixture(scope="module")
def running(docker_client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    """Return a gateway, at a port that it asks for, and a user service that stand; a test leaves them whole."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        wish = f"- GatewayPort: {free.getsockname()[1]}\n"
    with directory(tmp_path_factory.mktemp("one") / "shop", docker_client, f"{GATEWAY}{wish}{USERS}") as made:
        made.run()
        yield made


def others(ids: dict[str, str]) -> dict[str, str]:
    """Return the containers that a change of the user service does not concern."""
    return {name: each for name, each in ids.items() if not name.startswith("user-service-")}


def test_build_that_fails_shows_the_instruction_and_its_output_and_resume_goes_on(
    running: Directory, shop: Shop
) -> None:
    before = running.ids()
    dockerfile = running.root / "duo/user-service/Dockerfile"
    good = dockerfile.read_text()
    dockerfile.write_text(f"{good}\nRUN {UNLUCKY}\n")
    said = running.run(expect=1)
    assert re.search(
        r"error: step 2 \(Users\) failed: the image of `user-service` cannot be built: "
        rf"`\d+/\d+ RUN {re.escape(UNLUCKY)}` ended with code 1:\n  no such luck\n"
        r"  hint: fix `user-service/Dockerfile`, or what it copies, then `stepflow resume`\n",
        said,
    ), said
    assert "  log: `.stepflow/duo/logs/image-user-service.log`\nhint: `stepflow resume` continues from here\n" in said
    assert running.ids() == before
    shop.customer(running.gateway())

    dockerfile.write_text(f'{good}\nLABEL fixed="yes"\n')
    assert REUSED in running.type("resume")
    assert others(running.ids()) == others(before)
    assert not set(running.ids().values()) >= set(before.values())


def test_broken_requirement_is_named_and_resume_goes_on(running: Directory) -> None:
    before = running.ids()
    project = running.root / "duo/user-service/pyproject.toml"
    good = project.read_text()
    running.env.update(UV_DEFAULT_INDEX=NOWHERE, UV_HTTP_RETRIES="0")
    project.write_text(good.replace("dependencies = [", 'dependencies = [\n  "nats-py => 2",', 1))
    said = running.run(expect=1)
    assert "error: step 2 (Users) failed: the dependency `nats-py => 2` cannot be read: " in said
    assert "  hint: fix `pyproject.toml`\n" in said
    project.write_text(good.replace("dependencies = [", 'dependencies = [\n  "nats-py > 999",', 1))
    said = running.type("resume", expect=1)
    assert (
        "error: step 2 (Users) failed: the dependencies of `user-service` cannot be resolved: "
        "the package index is out of reach: "
    ) in said, said
    assert running.ids() == before

    project.write_text(good)
    running.env.clear()
    assert REUSED in running.type("resume")
    assert others(running.ids()) == others(before)
    assert running.not_ready() == {}


def test_service_that_ends_at_its_start_shows_its_last_lines_and_the_one_that_serves_stays(
    running: Directory, shop: Shop
) -> None:
    before = running.ids()
    source = running.root / "duo/user-service/src/service/account.py"
    good = source.read_text()
    source.write_text(f"{good}\nraise SystemExit('the moon is full')\n")
    said = running.run(expect=1)
    assert re.search(
        r"error: step 2 \(Users\) failed: `user-service-\d` exited with code 1\n"
        r" *the last lines of its log:\n(.*\n)*? +the moon is full\n *hint: `stepflow logs user-service` shows all",
        said,
    ), said
    shop.customer(running.gateway())

    source.write_text(good)
    assert REUSED in running.type("resume")
    assert others(running.ids()) == others(before)
    assert running.not_ready() == {}
    assert len(running.ids()) == len(before)


def test_second_directory_of_the_same_name_has_all_of_its_own(
    running: Directory, docker_client: docker.DockerClient, tmp_path: Path, shop: Shop
) -> None:
    before = running.ids()
    with directory(tmp_path / "shop", docker_client, (running.root / "workflow.md").read_text()) as other:
        said, having = other.run(), f"`{running.prefix}-gateway-1`"
        assert re.search(rf"port \d+ is taken by the container {having}: `gateway/http` gets \d+ instead\n", said), said
        assert running.root.name == other.root.name
        assert other.ids().keys() == ALL
        urls = [{each["url"] for each in platform.services().values()} for platform in (running, other)]
        assert not urls[0] & urls[1]
        customer = shop.customer(running.gateway())
        account = {"email": customer.email, "password": customer.password}
        assert httpx2.post(f"{other.gateway()}/api/auth/login", json=account).status_code == 401
        other.type("down", "--data")
        assert other.left() == []
        assert (running.ids(), running.not_ready()) == (before, {})
        customer.sign_in(customer.email, customer.password)


def test_command_that_is_killed_again_and_again_is_brought_to_its_end_by_resume(new: Directory) -> None:
    run = new.begin("run", "workflow.md", "--target", "docker")
    run.until("step 1 (Gateway): deploy")
    for seen in ("-nats", "-gateway-1", "-postgres", "-user-service-1"):
        run.process.kill()
        run.end(expect=-signal.SIGKILL)
        run = new.begin("resume")
        eventually(lambda name=seen: any(each.endswith(name) for each in new.left()), within=60)
    run.process.kill()
    run.end(expect=-signal.SIGKILL)
    run = new.begin("resume")
    assert "`duo` succeeded in " in run.end(expect=0)
    assert new.ids().keys() == ALL
    assert new.not_ready() == {}
    mounted = {mount["Name"] for each in new.containers().values() for mount in each.attrs["Mounts"]}
    volumes = new.client.volumes.list(filters={"label": f"dev.stepflow.id={new.id}"})
    assert {each.name for each in volumes} <= mounted
    assert "nothing to do\n" in new.type("plan", "workflow.md", "--target", "docker")


def test_engine_that_goes_away_in_the_middle_is_told_and_resume_goes_on(new: Directory, docker_engine: Engine) -> None:
    with docker_engine.alone():
        run = new.begin("run", "workflow.md", "--target", "docker")
        run.until("step 1 (Gateway): done")
        run.until("step 2 (Users): deploy")
        docker_engine.kill()
        try:
            said = run.end(expect=1)
            assert f"the Docker engine at {docker_engine.host} went away\n" in said
            assert "hint: start it (`systemctl start docker`" in said
            assert said.endswith("hint: `stepflow resume` continues from here\n")
            said = new.type("resume", expect=3)
            assert f"error: no Docker engine answers at {docker_engine.host}: nothing listens there\nhint: " in said
        finally:
            docker_engine.start()
        said = new.type("resume")
    assert "`duo` succeeded in " in said
    assert new.ids().keys() == ALL
    assert new.not_ready() == {}
