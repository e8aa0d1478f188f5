"""The backing servers as containers of the official images, and the one-shot containers that make databases."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stepflow.handoff import ServerFile
from stepflow.targets.addresses import NATS_USER, POSTGRES_ADMIN, role, server_secret
from stepflow.targets.docker.container import FILES, USER, Container, File, Listen, Secret, Volume, words
from stepflow.targets.docker.limits import LIMITS
from stepflow.targets.images import image
from stepflow.workload import ServerKind

PORTS: Mapping[ServerKind, int] = {"nats": 4222, "postgres": 5432, "valkey": 6379}
"""Where clients find each, inside the network."""

_ACCOUNT = "999:999"  # `postgres` and `valkey` in their images
_GRACE = 30.0  # seconds that a server may need to write what it holds
_SYNC = "1s"  # NATS's default of 2 min survives kill -9, but loses what it acknowledged when the power fails
_NATS = """\
server_name: stepflow
listen: 0.0.0.0:{port}
http: 127.0.0.1:8222
jetstream {{ store_dir: /data/jetstream, sync_interval: {sync} }}
authorization {{ user: {user}, password: "\
"""
_SERVICE = """\
[admin]
host=postgres
port={port}
user={user}
dbname={user}
connect_timeout=10
password=\
"""
_SCRIPT = r"""\set ON_ERROR_STOP on
\set VERBOSITY terse
SET log_statement = 'none';
SET log_duration = off;
SET log_min_duration_statement = -1;
SET log_min_duration_sample = -1;
SET log_transaction_sample_rate = 0;
SET log_min_error_statement = panic;
SET password_encryption = 'scram-sha-256';
DO $$ BEGIN PERFORM pg_advisory_lock(hashtext('stepflow databases')); END $$;
\set password `cat {files}/role-password`
SELECT 'CREATE ROLE "{name}" LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') \gexec
ALTER ROLE "{name}" LOGIN PASSWORD :'password';
SELECT 'CREATE DATABASE "{name}" OWNER "{name}"'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \gexec
REVOKE ALL ON DATABASE "{name}" FROM PUBLIC;
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
"""
"""Says the same however often it runs; no statement that holds a password is logged. One runs at a time: two that
revoke from the same database at once would fail."""


def server(kind: ServerKind, options: Mapping[str, str]) -> Container:
    """Give the container of a backing server."""
    return _SERVERS[kind](str(image(kind, options)))


def database(name: str, options: Mapping[str, str]) -> Container:
    """Give the container that makes a database and its role, then ends. Raises `PermanentError` for a bad name."""
    service = _SERVICE.format(port=PORTS["postgres"], user=POSTGRES_ADMIN)
    return Container(
        name=setup_name(name),
        kind="setup",
        image=str(image("postgres", options)),
        command=words("psql", "--no-psqlrc", "--quiet", f"--file={FILES}/database.sql", "service=admin"),
        limits=LIMITS["setup"],
        user=_ACCOUNT,
        env={"PGSERVICEFILE": (f"{FILES}/service.conf",)},
        files=(
            File(f"{FILES}/database.sql", (_SCRIPT.format(files=FILES, name=role(name)),)),
            File(f"{FILES}/role-password", (Secret(server_secret(ServerFile("postgres", name))),)),
            # A service file, for libpq refuses a password file that a group may read.
            File(f"{FILES}/service.conf", (service, Secret(server_secret(ServerFile("postgres"))), "\n")),
        ),
        needs=("postgres",),
    )


def setup_name(database: str) -> str:
    """Name the container that makes a database."""
    return f"database-{database}"


def _nats(reference: str) -> Container:
    configuration = _NATS.format(port=PORTS["nats"], user=NATS_USER, sync=_SYNC)
    return Container(
        name="nats",
        kind="server",
        image=reference,
        command=words("nats-server", "-c", f"{FILES}/nats.conf"),
        limits=LIMITS["nats"],
        files=(File(f"{FILES}/nats.conf", (configuration, Secret(server_secret(ServerFile("nats"))), '"}\n')),),
        volumes=(Volume("nats", "/data", "jetstream"),),
        listens=(Listen("nats", PORTS["nats"]),),
        health=("wget", "-q", "-T", "2", "-O", "/dev/null", "http://127.0.0.1:8222/healthz"),
        stop_grace=_GRACE,
        user=f"{USER}:{USER}",
    )


def _postgres(reference: str) -> Container:
    settings = ("-c", "shared_buffers=64MB", "-c", "max_connections=200")
    return Container(
        name="postgres",
        kind="server",
        image=reference,
        command=words("postgres", *settings),
        limits=LIMITS["postgres"],
        user=_ACCOUNT,
        env={
            "PGDATA": ("/var/lib/postgresql/18/docker",),
            "POSTGRES_PASSWORD_FILE": (f"{FILES}/password",),
            "POSTGRES_INITDB_ARGS": (
                "--auth-local=scram-sha-256 --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8",
            ),
        },
        files=(File(f"{FILES}/password", (Secret(server_secret(ServerFile("postgres"))),)),),
        volumes=(Volume("postgres", "/var/lib/postgresql", "18"),),
        tmpfs=("/tmp", "/var/run/postgresql"),  # noqa: S108 - mount points in a read-only root, not files of ours
        listens=(Listen("postgres", PORTS["postgres"]),),
        # Over TCP: while the image makes the cluster, a server runs that listens on a socket alone.
        health=("pg_isready", "-q", "-t", "2", "-h", "127.0.0.1", "-U", POSTGRES_ADMIN),
        stop_signal="SIGINT",  # "fast": does not wait for its clients
        stop_grace=_GRACE,
    )


def _valkey(reference: str) -> Container:
    password = Secret(server_secret(ServerFile("valkey")))
    configuration = (
        f"bind 0.0.0.0\nport {PORTS['valkey']}\nrequirepass ",
        password,
        '\ndir /data/valkey\nappendonly yes\nsave ""\ndaemonize no\n',
    )
    return Container(
        name="valkey",
        kind="server",
        image=reference,
        command=words("valkey-server", f"{FILES}/valkey.conf"),
        limits=LIMITS["valkey"],
        user=_ACCOUNT,
        files=(
            File(f"{FILES}/ping", ("AUTH ", password, "\nPING\n")),
            File(f"{FILES}/valkey.conf", configuration),
        ),
        volumes=(Volume("valkey", "/data", "valkey"),),
        listens=(Listen("valkey", PORTS["valkey"]),),
        # The password goes by standard input: arguments and environments can be read by others.
        health=("sh", "-c", f"valkey-cli <{FILES}/ping | grep -qx PONG"),
        stop_grace=_GRACE,
    )


_SERVERS: Mapping[ServerKind, Callable[[str], Container]] = {"nats": _nats, "postgres": _postgres, "valkey": _valkey}
