"""Each stand-in keeps its official image's contract, under the target's constraints: numeric user, read-only root."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

import docker
import pytest
from docker.models.containers import Container
from docker.models.volumes import Volume
from patience import eventually
from standins.recipes import RECIPES

from stepflow.targets.images import IMAGES

Make = Callable[..., Container]
IMAGE = {recipe.name: recipe.image for recipe in RECIPES}
PASSWORD = r"it's %p \x $HOME"
DATA = "/var/lib/postgresql"
SOCKETS = {"/var/run/postgresql": "uid=999,gid=999,mode=3777"}
FILES = "/run/stepflow"


def put(container: Container, name: str, text: str, group: int) -> None:
    """Write a file below FILES as the target does: root's, readable by the container's group."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        file = tarfile.TarInfo(name)
        file.size, file.mode, file.gid = len(text.encode()), 0o440, group
        tar.addfile(file, io.BytesIO(text.encode()))
    assert container.put_archive(FILES, packed.getvalue())


def said(container: Container, *command: str, **options: str) -> str:
    return str(container.exec_run(list(command), **options).output.decode())


def test_every_image_of_the_products_table_has_a_stand_in() -> None:
    assert set(IMAGE) == set(IMAGES)


@pytest.mark.docker
@pytest.mark.parametrize("name", IMAGE)
def test_a_stand_in_brings_no_tools_that_the_official_image_has_not(run: Make, name: str) -> None:
    tools = {"wget", "busybox"} if name == "nats" else {"valkey-cli"} if name == "valkey" else set()
    look = "for tool in wget curl busybox valkey-cli python3 psql; do command -v $tool; done; true"
    container = run(IMAGE[name], "sh", "-c", look, user="65532:65532")
    container.wait(timeout=90)
    own = {"python": {"python3"}, "postgres": {"psql"}}.get(name, set())
    assert {line.rpartition("/")[2] for line in container.logs().decode().split()} == tools | own


@pytest.mark.docker
def test_python_installs_into_a_virtual_environment_and_into_itself_without_a_network(
    docker_client: docker.DockerClient, run: Make
) -> None:
    steps = "python -m venv /tmp/v && /tmp/v/bin/python -m pip --version && python -m pip --version"
    container = run(IMAGE["python"], "sh", "-c", steps, user="65532:65532", network_mode="none")
    assert container.wait(timeout=60)["StatusCode"] == 0, container.logs()
    assert "from /tmp/v/lib/python3.13/" in container.logs().decode()
    assert "from /usr/local/lib/python3.13/" in container.logs().decode()
    environment = docker_client.images.get(IMAGE["python"]).attrs["Config"]["Env"]
    assert f"PYTHON_VERSION={IMAGES['python'].tag.partition('-')[0]}" in environment


def postgres(make: Make, volume: Volume) -> Container:
    container = make(
        IMAGE["postgres"], user="999:999", tmpfs=SOCKETS,
        volumes=[f"{volume.name}:{DATA}", FILES],
        environment={"POSTGRES_PASSWORD_FILE": f"{FILES}/password", "POSTGRES_USER": "app"},
    )  # fmt: skip
    put(container, "password", PASSWORD, 999)
    container.start()
    assert eventually(lambda: "accepting" in said(container, "pg_isready", "-h", "127.0.0.1"))
    return container


def ask(container: Container, password: str, statement: str) -> str:
    """Ask over the network, where the password counts."""
    question = f'psql -h "$(hostname)" -U app -At -c "{statement}"'
    return said(container, "bash", "-c", question, environment={"PGPASSWORD": password}).strip()


@pytest.mark.docker
def test_postgres_makes_its_cluster_with_the_password_of_a_file_and_finds_it_again(volume: Volume, make: Make) -> None:
    first = postgres(make, volume)
    assert ask(first, PASSWORD, "CREATE TABLE kept AS SELECT 7 AS seven; SHOW server_encoding") == "SELECT 1\nUTF8"
    assert "password authentication failed" in ask(first, "another", "SELECT 1")
    assert PASSWORD.encode() not in first.logs()
    first.stop()
    assert b"fast shutdown" in first.logs()
    assert ask(postgres(make, volume), PASSWORD, "SELECT seven FROM kept") == "7"


@pytest.mark.docker
def test_postgres_without_a_password_says_so_and_ends(volume: Volume, run: Make) -> None:
    container = run(IMAGE["postgres"], user="999:999", tmpfs=SOCKETS, volumes=[f"{volume.name}:{DATA}"])
    assert container.wait(timeout=90)["StatusCode"] == 1
    assert b"superuser password is not specified" in container.logs()


@pytest.mark.docker
def test_nats_takes_options_alone_and_answers_its_health_check(run: Make) -> None:
    container = run(IMAGE["nats"], "-js", "-sd", "/tmp", "-m", "8222", user="65532:65532")  # noqa: S108 - inside the container
    ask = ("wget", "-qO-", "http://127.0.0.1:8222/healthz?js-enabled-only=true")
    assert eventually(lambda: said(container, *ask) == '{"status":"ok"}')


@pytest.mark.docker
def test_valkey_takes_a_configuration_file_alone_and_asks_for_its_password(volume: Volume, make: Make) -> None:
    container = make(IMAGE["valkey"], f"{FILES}/valkey.conf", user="999:999", volumes=[f"{volume.name}:/data", FILES])
    put(container, "valkey.conf", "requirepass secret\nappendonly yes\n", 999)
    container.start()
    assert eventually(lambda: "NOAUTH" in said(container, "valkey-cli", "ping"))
    assert said(container, "valkey-cli", "ping", environment={"REDISCLI_AUTH": "secret"}) == "PONG\n"
    assert "appendonlydir" in said(container, "ls", "/data")


@pytest.mark.docker
def test_envoy_takes_options_alone_and_is_asked_through_bash(run: Make) -> None:
    admin = "{admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}}"
    container = run(IMAGE["envoy"], "--config-yaml", admin, user="65532:65532")
    question = r"exec 3<>/dev/tcp/127.0.0.1/9901; printf 'GET /ready HTTP/1.1\r\nhost: a\r\n\r\n' >&3; head -1 <&3"
    assert eventually(lambda: said(container, "bash", "-c", question) == "HTTP/1.1 200 OK\r\n")
