"""A declaration becomes containers: plain values that hold no secret and lead nowhere that is not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from stepflow.errors import PermanentError
from stepflow.handoff import ConfigFile, DataDir, Endpoint, SecretFile, ServerFile
from stepflow.targets.contract import Desired
from stepflow.targets.docker.container import Build, Container, File, HostPort, Listen, Secret, Volume
from stepflow.targets.docker.desired import containers, define
from stepflow.targets.resolution import resolution
from stepflow.targets.resolved import resolve
from stepflow.workload import Declaration, HttpProbe, Port, Server, Workload

OTHERS = {"users": {"http": 8000, "admin": 9901}, "gateway": {"http": 8080}}
PLATFORM = """\
nats: server
postgres: server
valkey: server
database-notifications: setup after postgres
database-orders: setup after postgres
database-payments: setup after postgres
database-security: setup after postgres
database-users: setup after postgres
service-discovery: workload after nats, people at 8500
gateway: workload after service-discovery, people at 8080, drained at 9901
user-service: workload after nats postgres database-users, 2 copies
order-service: workload after nats postgres database-orders
payment-provider: workload after nats postgres database-payments
notification-service: workload after nats postgres database-notifications
mail-sink: workload after nats, keeps mails
data-pipeline: workload after nats, keeps warehouse
security-service: workload after nats postgres valkey database-security
monitoring-observability: workload after nats, keeps telemetry
"""


def _orders(**changes: Any) -> Workload:  # noqa: ANN401 - whatever a Workload takes
    whole: dict[str, Any] = {"command": ("python", "-m", "service"), "ready": HttpProbe("/ready"), "context": "orders"}
    return Workload("orders", **(whole | changes))


def _define(workload: Workload, options: Mapping[str, str] | None = None) -> Container:
    numbers = {**OTHERS, workload.name: {port.name: port.number for port in workload.ports}}
    return define(resolve(workload), numbers, options or {}, "abc")


def _all(reference: Mapping[int, Declaration]) -> tuple[Container, ...]:
    workloads = tuple(each for step in reference.values() for each in step.workloads)
    servers = tuple(each for step in reference.values() for each in step.servers)
    return containers(resolution(Desired(Declaration(workloads, servers))), {}, {})


def _line(container: Container) -> str:
    parts = [f"{container.name}: {container.kind}"]
    if container.needs:
        parts[0] += f" after {' '.join(container.needs)}"
    parts += [f"people at {listen.wish}" for listen in container.listens if listen.wish]
    parts += [f"keeps {volume.name}" for volume in container.volumes if container.kind == "workload"]
    if container.replicas > 1:
        parts.append(f"{container.replicas} copies")
    if container.drain:
        parts.append(f"drained at {container.drain}")
    return ", ".join(parts) + "\n"


def test_the_reference_workflow_is_these_containers(reference: Mapping[int, Declaration]) -> None:
    assert "".join(map(_line, _all(reference))) == PLATFORM


def test_no_secret_is_in_a_command_an_environment_or_a_health_check(reference: Mapping[int, Declaration]) -> None:
    platform = _all(reference)
    told = [text for each in platform for text in (*each.command, *each.env.values())]
    assert not [piece for text in told for piece in text if isinstance(piece, Secret)]
    assert all(isinstance(word, str) for each in platform for word in each.health)
    held = {
        piece.name for each in platform for file in each.files for piece in file.content if isinstance(piece, Secret)
    }
    assert {"nats", "postgres", "valkey", "postgres-users", "admin-password", "client-secret"} <= held


def test_no_container_runs_as_root_or_without_limits(reference: Mapping[int, Declaration]) -> None:
    for each in _all(reference):
        assert all(int(part) > 0 for part in each.user.split(":")), each.name
        assert min(each.limits.memory, each.limits.pids, each.limits.cpus) > 0
        assert each.kind == "setup" or each.health, f"{each.name} has no health check"


def test_a_service_is_told_where_it_is_and_reads_its_secrets_from_files() -> None:
    env = {
        "DATABASE_URL_FILE": ServerFile("postgres", "orders"),
        "KEY_FILE": SecretFile("key"),
        "HOME_DIR": DataDir("books"),
        "USERS_URL": Endpoint("users", path="/api"),
        "FRONT": Endpoint("gateway", part="public", path="/orders"),
        "PLAIN": "{{ no template }} $HOME",
    }
    ports = (Port(), Port("people", 8500, env="PEOPLE_PORT", published=True))
    made = _define(_orders(env=env, ports=ports, data=("books",), needs=("users",), replicas=2, stop_grace=7.0))
    assert made == Container(
        name="orders",
        kind="workload",
        image=Build("orders"),
        command=(("python",), ("-m",), ("service",)),
        limits=made.limits,
        user="65532:65532",
        env={
            "PYTHONDONTWRITEBYTECODE": ("1",),
            "PYTHONUNBUFFERED": ("1",),
            "HOST": ("0.0.0.0",),  # noqa: S104 - inside a container
            "SERVICE": ("orders",),
            "PORT": ("8000",),
            "PEOPLE_PORT": ("8500",),
            "DATABASE_URL_FILE": ("/run/stepflow/server-postgres-orders.url",),
            "KEY_FILE": ("/run/stepflow/secret-key",),
            "HOME_DIR": ("/var/lib/stepflow/books/data",),
            "USERS_URL": ("http://users:8000/api",),
            "FRONT": ("http://127.0.0.1:", HostPort("gateway", "http"), "/orders"),
            "PLAIN": ("{{ no template }} $HOME",),
        },
        files=(
            File("/run/stepflow/secret-key", (Secret("key"),)),
            File(
                "/run/stepflow/server-postgres-orders.url",
                ("postgresql://orders:", Secret("postgres-orders"), "@postgres:5432/orders"),
            ),
        ),
        volumes=(Volume("books", "/var/lib/stepflow/books", "data"),),
        listens=(Listen("http", 8000), Listen("people", 8500, 8500)),
        health=made.health,
        ready=HttpProbe("/ready"),
        needs=("postgres", "database-orders", "users"),
        replicas=2,
        stop_grace=7.0,
        deadline=60.0,
        digest="abc",
    )


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (Endpoint("users", part="host"), ("users",)),
        (Endpoint("users", "admin", part="port"), ("9901",)),
        (Endpoint("users", part="address"), ("users:8000",)),
        (Endpoint("orders", part="bind"), ("0.0.0.0",)),  # noqa: S104 - inside a container
        (Endpoint("gateway", part="bind"), ("0.0.0.0",)),  # noqa: S104 - inside a container
        (Endpoint("orders"), ("http://orders:8000",)),
    ],
)
def test_an_endpoint_is_an_address_in_the_platforms_network(endpoint: Endpoint, text: tuple[str, ...]) -> None:
    assert _define(_orders(env={"X": endpoint})).env["X"] == text


def test_a_config_is_json_with_its_references_resolved_and_ports_as_numbers() -> None:
    config: Any = {
        "port": Endpoint("users", part="port"),
        'a "key"': ['text with " and \n', 1, None, True, {"secret": SecretFile("key")}],
        "front": Endpoint("gateway", part="public"),
        "empty": [{}, []],
    }
    made = _define(
        _orders(command=("python", ConfigFile("boot.json")), configs={"boot.json": config, "unused.json": {}})
    )
    assert made.command[1] == ("/run/stepflow/config-boot.json",)
    assert [file.path for file in made.files] == ["/run/stepflow/config-boot.json", "/run/stepflow/secret-key"]
    before, front, after = made.files[0].content
    assert before == (
        '{"port": 8000, "a \\"key\\"": ["text with \\" and \\n", 1, null, true, '
        '{"secret": "/run/stepflow/secret-key"}], "front": "http://127.0.0.1:'
    )
    assert (front, after) == (HostPort("gateway", "http"), '", "empty": [{}, []]}')


def test_envoy_runs_from_its_image_and_an_option_replaces_it() -> None:
    envoy = _orders(command=("envoy", "-c", "x"), context="", ports=(Port(), Port("admin", 9901, env="")))
    made = _define(envoy, {"image.envoy": "mirror.example/envoy:v1"})
    assert made.image == "mirror.example/envoy:v1"
    added = ("--concurrency", "1", "--disable-hot-restart", "-l", "warning")
    assert made.command == tuple((word,) for word in ("envoy", "-c", "x", *added))
    assert made.drain == 9901


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        (
            {"env": {"X": Endpoint("payments")}},
            "there is no workload `payments`",
            "there are: `users`, `gateway`, `orders`",
        ),
        ({"env": {"X": Endpoint("users", "grpc")}}, "`users` has no port `grpc`", "it has: `http`, `admin`"),
        ({"env": {"X": Endpoint("payments", part="bind")}}, "there is no workload `payments`", None),
        ({"env": {"X": ConfigFile("a.json")}}, "workload `orders` has no config `a.json`", None),
        ({"env": {"X": SecretFile("../key")}}, "`../key` cannot be a file name here", None),
        ({"data": ("a/b",)}, "`a/b` cannot be a file name here", None),
        ({"env": {"X": ServerFile("postgres", "A;")}}, "`A;` cannot be a database's name", None),
        (
            {"ready": HttpProbe("/", port="admin")},
            "a probe of `orders` uses port `admin`, which `orders` does not declare",
            None,
        ),
        (
            {"command": ("caddy",), "context": ""},
            "workload `orders` runs `caddy`, for which no image is known",
            "known is `envoy`; any other program needs a `context` with a Dockerfile",
        ),
    ],
)
def test_what_cannot_be_a_container_is_refused_with_what_can(
    changes: dict[str, Any], message: str, hint: str | None
) -> None:
    with pytest.raises(PermanentError) as failure:
        _define(_orders(**changes))
    assert failure.value.message == message
    assert hint is None or failure.value.hint == hint


@pytest.mark.parametrize("name", ["nats", "database-x", "Orders", "a_b", "", "-a", "a" * 51])
def test_a_workload_cannot_be_called_like_a_server_or_unlike_a_host(name: str) -> None:
    with pytest.raises(PermanentError, match="cannot be a container's name") as failure:
        _define(replace(_orders(), name=name))
    assert failure.value.hint.startswith("use up to 50 lower-case letters, digits and `-`")


def test_a_server_that_is_only_referred_to_is_there_and_known_workloads_are_found() -> None:
    orders = _orders(env={"X": ServerFile("postgres", "orders"), "Y": Endpoint("users")})
    desired = Desired(Declaration((orders,), (Server("nats"),)), {"orders": "d"})
    made = containers(resolution(desired), {}, OTHERS)
    assert [(each.name, each.digest) for each in made] == [
        ("nats", ""),
        ("postgres", ""),
        ("database-orders", ""),
        ("orders", "d"),
    ]
