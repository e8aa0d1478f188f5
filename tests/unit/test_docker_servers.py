"""The servers run as their official images want to be run, and say what they are told in files."""

from __future__ import annotations

import pytest

from stepflow.errors import PermanentError
from stepflow.targets.docker.container import LIMITS, Container, File, Listen, Secret, Volume
from stepflow.targets.docker.servers import database, server
from stepflow.targets.images import IMAGES


def _texts(container: Container) -> dict[str, str]:
    """Return the files with their secrets shown as `<name>`."""
    return {
        file.path: "".join(f"<{p.name}>" if isinstance(p, Secret) else str(p) for p in file.content)
        for file in container.files
    }


def test_nats_keeps_its_streams_in_a_volume_and_asks_for_a_password() -> None:
    assert server("nats", {}) == Container(
        name="nats",
        kind="server",
        image=str(IMAGES["nats"]),
        command=(("nats-server",), ("-c",), ("/run/stepflow/nats.conf",)),
        limits=LIMITS["nats"],
        user="65532:65532",
        files=server("nats", {}).files,
        volumes=(Volume("nats", "/data", "jetstream"),),
        listens=(Listen("nats", 4222),),
        health=("wget", "-q", "-T", "2", "-O", "/dev/null", "http://127.0.0.1:8222/healthz"),
        stop_grace=30.0,
    )
    assert _texts(server("nats", {})) == {
        "/run/stepflow/nats.conf": (
            "server_name: stepflow\nlisten: 0.0.0.0:4222\nhttp: 127.0.0.1:8222\n"
            "jetstream { store_dir: /data/jetstream, sync_interval: 1s }\n"
            'authorization { user: stepflow, password: "<nats>"}\n'
        )
    }


def test_postgres_gets_its_password_by_file_and_stops_without_waiting_for_clients() -> None:
    made = server("postgres", {"image.postgres": "mirror.example/postgres:18"})
    assert made.image == "mirror.example/postgres:18"
    assert made.user == "999:999"
    assert made.env["POSTGRES_PASSWORD_FILE"] == ("/run/stepflow/password",)
    assert made.env["PGDATA"] == ("/var/lib/postgresql/18/docker",)
    assert made.files == (File("/run/stepflow/password", (Secret("postgres"),)),)
    assert made.volumes == (Volume("postgres", "/var/lib/postgresql", "18"),)
    assert "/var/run/postgresql" in made.tmpfs
    assert made.stop_signal == "SIGINT"


def test_valkey_is_asked_with_a_password_that_goes_by_standard_input() -> None:
    made = server("valkey", {})
    assert made.health == ("sh", "-c", "valkey-cli </run/stepflow/ping | grep -qx PONG")
    assert _texts(made) == {
        "/run/stepflow/ping": "AUTH <valkey>\nPING\n",
        "/run/stepflow/valkey.conf": (
            'bind 0.0.0.0\nport 6379\nrequirepass <valkey>\ndir /data/valkey\nappendonly yes\nsave ""\ndaemonize no\n'
        ),
    }


def test_a_database_is_made_by_a_container_that_ends() -> None:
    made = database("users", {})
    assert (made.name, made.kind, made.needs, made.listens, made.health) == (
        "database-users",
        "setup",
        ("postgres",),
        (),
        (),
    )
    texts = _texts(made)
    assert "<" not in texts["/run/stepflow/database.sql"]
    assert texts["/run/stepflow/role-password"] == "<postgres-users>"
    assert texts["/run/stepflow/service.conf"].endswith("\npassword=<postgres>\n")


@pytest.mark.parametrize("name", ["postgres", "Users", 'x"; DROP DATABASE users; --', "a-b", ""])
def test_a_name_that_cannot_be_a_database_makes_no_script(name: str) -> None:
    with pytest.raises(PermanentError, match="cannot be a database's name"):
        database(name, {})
