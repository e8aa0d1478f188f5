"""A fresh copy of the rendered tree, `docker compose up --wait`, no stepflow: the reference platform works."""

from __future__ import annotations

import asyncio
import json
import os
import platform as machine
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
import httpx2
import pytest
from packaging.markers import default_environment
from patience import eventually

from stepflow.handoff import Handoff
from stepflow.playbook import StepInput
from stepflow.registry import resolve
from stepflow.targets import images
from stepflow.targets.building import lock
from stepflow.targets.building.interpreter import Interpreter
from stepflow.targets.building.wheelhouse import wheels
from stepflow.targets.docker.compose import documents
from stepflow.targets.docker.compose.document import described
from stepflow.targets.docker.container import Container, Limits
from stepflow.workflow import parse
from stepflow.workload import Declaration

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

WORKFLOW = Path(__file__).parents[2] / "examples/microservices/workflow.md"
PORTS = ("GATEWAY_HTTP_PORT", "SERVICE_DISCOVERY_REGISTRY_PORT")
ONE_SHOT = ("setup", "database-")


def by_hand(name: str) -> str:
    """Name an image as it is called where it was loaded by hand: its digest is not known then."""
    return str(replace(images.IMAGES[name], digest=""))


IMAGES = {"BASE_IMAGE": by_hand("python")} | {
    f"{name.upper()}_IMAGE": by_hand(name) for name in images.IMAGES if name != images.BASE
}


@dataclass(frozen=True)
class Project:
    """A tree with a compose file and what is made of it."""

    program: str
    folder: Path
    name: str
    variables: Mapping[str, str]

    def compose(self, *arguments: str, **variables: str) -> str:
        """Run compose as a person would, in the tree's folder, and give what it printed."""
        env = {**os.environ, **IMAGES, **self.variables, **variables, "COMPOSE_PROJECT_NAME": self.name}
        done = subprocess.run(
            [self.program, *arguments],
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    def ids(self) -> dict[str, str]:
        """Return the ids of the containers that keep running, by their service and number."""
        said = self.compose("ps", "--format", "json").splitlines()
        return {each["Name"].removeprefix(f"{self.name}-"): each["ID"] for each in map(json.loads, said)}

    def read(self, service: str, path: str) -> str:
        """Read a file inside a service's container."""
        return self.compose("exec", "-T", service, "cat", path)

    def left(self, client: docker.DockerClient) -> list[str]:
        """List everything of this project that is on the engine."""
        ours = {"label": f"com.docker.compose.project={self.name}"}
        found = [*client.containers.list(all=True, filters=ours), *client.networks.list(filters=ours)]
        tags = [tag for image in client.images.list() for tag in image.tags if tag.startswith(f"{self.name}-")]
        return [each.name for each in (*found, *client.volumes.list(filters=ours))] + tags


def rendered(folder: Path) -> tuple[Declaration, ...]:
    """Write what a run of the reference workflow renders; gives what its steps declare."""
    ((workflow,), _) = parse(WORKFLOW.read_text(encoding="utf-8"), str(WORKFLOW))
    handoffs: dict[int, Handoff] = {}
    declared: dict[int, Declaration] = {}
    for each in resolve(workflow).steps:
        assert each.playbook is not None
        step = StepInput(
            number=each.step.number, title=each.step.title, prompt=each.step.prompt, delivers=each.step.handoff,
            platform="reference", target="docker", settings=each.settings, features=frozenset(each.features),
            handoffs={number: handoffs[number] for number in (*each.takes, *each.collects)},
            declarations={number: declared[number] for number in each.collects},
        )  # fmt: skip
        write(folder, each.playbook.render(step))
        declared[step.number] = each.playbook.declare(step)
        handoffs[step.number] = each.playbook.handoff(step)
    return tuple(declared.values())


def write(folder: Path, tree: Mapping[str, bytes]) -> None:
    """Write files below a folder."""
    for path, content in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def bring_wheels(folder: Path, log: Path) -> None:
    """Put the wheels of all locks into the tree, as a site without a package index does."""
    markers = {str(name): str(value) for name, value in default_environment().items()}
    markers |= {"python_version": "3.13", "python_full_version": "3.13.5", "implementation_version": "3.13.5"}
    python = Interpreter(machine.machine(), "manylinux", 41, markers)
    files = sorted(folder.glob("*/requirements.lock"))
    pins = {pin for file in files for pin in lock.read(file.read_text(encoding="utf-8"), file) if pin.fits(markers)}
    (folder / "wheels-shared").mkdir()
    for wheel in asyncio.run(wheels(pins, python, log, lambda _: None)).values():
        shutil.copy(wheel, folder / "wheels-shared")


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def project(
    docker_compose: str, docker_client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """Yield the reference platform, up; take it down with everything it created, after which nothing of it is left."""
    folder = tmp_path_factory.mktemp("tree")
    write(folder, documents("reference", rendered(folder), {}))
    bring_wheels(folder, folder.with_name("wheels.log"))
    made = Project(docker_compose, folder, f"compose-{secrets.token_hex(4)}", {name: free_port() for name in PORTS})
    try:
        made.compose("build", "--build-arg", "PIP_NO_INDEX=1", "--build-arg", "PIP_FIND_LINKS=/wheels")
        made.compose("up", "--no-build", "--wait")
        yield made
    finally:
        made.compose("down", "--volumes", "--rmi", "local", "--timeout", "2")
    assert made.left(docker_client) == []


def test_an_order_is_confirmed_at_the_gateway(project: Project) -> None:
    url = f"http://127.0.0.1:{project.variables['GATEWAY_HTTP_PORT']}"
    account = {"email": f"{secrets.token_hex(6)}@example.com", "password": secrets.token_urlsafe(16)}
    with httpx2.Client(base_url=url, timeout=60) as http:
        eventually(lambda: http.get("/api/products").status_code == 200, within=90)
        registered = eventually(lambda: _made(http.post("/api/users", json={**account, "name": "Ada"})), within=90)
        assert registered["email"] == account["email"]
        token = http.post("/api/auth/login", json=account).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        product = next(p for p in http.get("/api/products").json()["items"] if p["stock"] > 0)
        body = {"items": [{"sku": product["sku"], "quantity": 1}], "payment": {"token": "tok_ok"}}
        placed = http.post("/api/orders", json=body, headers={"Idempotency-Key": secrets.token_hex(8)})
        assert placed.status_code == 202, placed.text
        path = f"/api/orders/{placed.json()['id']}"
        eventually(lambda: http.get(path).json()["status"] == "confirmed", within=90)


def _made(answer: httpx2.Response) -> dict[str, Any]:
    return dict(answer.json()) if answer.status_code == 201 else {}


def test_the_administrator_signs_in_with_the_secret_that_setup_made(project: Project) -> None:
    password = project.read("user-service", "/run/stepflow/secret-admin-password")
    url = f"http://127.0.0.1:{project.variables['GATEWAY_HTTP_PORT']}"
    account = {"email": "admin@example.com", "password": password}
    eventually(lambda: httpx2.post(f"{url}/api/auth/login", json=account, timeout=60).status_code == 200, within=90)


def test_a_second_up_replaces_nothing(project: Project) -> None:
    before = project.ids()
    secret = project.read("user-service", "/run/stepflow/secret-admin-password")
    project.compose("up", "--no-build", "--wait")
    assert len(before) > 10
    assert project.ids() == before
    assert project.read("user-service", "/run/stepflow/secret-admin-password") == secret


def test_no_container_has_more_rights_than_it_needs(project: Project, docker_client: docker.DockerClient) -> None:
    ours = {"label": f"com.docker.compose.project={project.name}"}
    for container in docker_client.containers.list(all=True, filters=ours):
        host, config = container.attrs["HostConfig"], container.attrs["Config"]
        setup = config["Labels"]["com.docker.compose.service"] == "setup"
        assert host["ReadonlyRootfs"], container.name
        assert host["CapDrop"] == ["ALL"], container.name
        assert host["CapAdd"] == (["CHOWN", "DAC_OVERRIDE"] if setup else None), container.name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], container.name
        assert host["Memory"] > 0, container.name
        assert host["PidsLimit"] > 0, container.name
        assert host["CpuQuota"] > 0, container.name
        assert (config["User"].split(":")[0] == "0") == setup, container.name
        assert host["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}, container.name
        bound = [each for ports in (host["PortBindings"] or {}).values() for each in ports]
        assert {each["HostIp"] for each in bound} <= {"127.0.0.1"}, container.name


def test_no_secret_is_in_a_log_or_in_what_the_engine_tells(
    project: Project, docker_client: docker.DockerClient
) -> None:
    found = [
        project.read("user-service", "/run/stepflow/secret-admin-password"),
        project.read("security-service", "/run/stepflow/secret-client-secret"),
        project.read("user-service", "/run/stepflow/server-postgres-users.url").split(":")[2].split("@")[0],
        project.read("user-service", "/run/stepflow/server-nats.url").split(":")[2].split("@")[0],
    ]
    assert [len(secret) for secret in found] == [32] * 4
    ours = {"label": f"com.docker.compose.project={project.name}"}
    for container in docker_client.containers.list(all=True, filters=ours):
        told = json.dumps(container.attrs) + container.logs().decode(errors="replace")
        assert [secret for secret in found if secret in told] == [], container.name


NASTY = ("${HOME}", "$HOME", "$$", "$", "a${X:-y}$(id)`id`", "1e3", "no", "ü\u2028'\"\\\n\ttab: - [x] #y", "{{.Name}}")


def test_a_container_gets_every_text_as_it_is(
    docker_compose: str, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    odd = Container(
        name="odd",
        kind="workload",
        image=by_hand("python"),
        command=(("python",), *((text,) for text in NASTY)),
        limits=Limits(64, 16, 0.1),
        env={f"ODD_{number}": (text,) for number, text in enumerate(NASTY)},
        health=NASTY,
    )
    write(tmp_path, described("odd", (odd,), by_hand("python")))
    made = Project(docker_compose, tmp_path, f"compose-{secrets.token_hex(4)}", {})
    try:
        made.compose("create", "--no-build", "odd")
        config = docker_client.containers.get(f"{made.name}-odd-1").attrs["Config"]
    finally:
        made.compose("down", "--volumes")
    env = dict(pair.split("=", 1) for pair in config["Env"])
    assert [env[f"ODD_{number}"] for number in range(len(NASTY))] == list(NASTY)
    assert config["Cmd"] == ["python", *NASTY]
    assert config["Healthcheck"]["Test"] == ["CMD", *NASTY]
    assert made.left(docker_client) == []


def test_another_port_replaces_only_who_is_told_of_it(project: Project) -> None:
    before = project.ids()
    project.compose("up", "--no-build", "--wait", GATEWAY_HTTP_PORT=(other := free_port()))
    now = project.ids()
    changed = {name.rpartition("-")[0] for name in now if now[name] != before.get(name)}
    assert changed == {"gateway", "service-discovery"}
    eventually(lambda: _answers(f"http://127.0.0.1:{other}/api/products"), within=90)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=60).status_code == 200
    except httpx2.TransportError:
        return False
