"""The backing servers as containers of the official images, and the one-shot containers that make databases."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stepflow.handoff import ServerFile
from stepflow.targets.addresses import CLIENT_PORTS, NATS_USER, POSTGRES_ADMIN, server_secret
from stepflow.targets.databases import SERVICE, database_script, service_file
from stepflow.targets.docker.container import FILES, LIMITS, USER, Container, File, Listen, Secret, Volume, words
from stepflow.targets.images import image
from stepflow.workload import ServerKind

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


def server(kind: ServerKind, options: Mapping[str, str]) -> Container:
    """Return the container of a backing server."""
    return _SERVERS[kind](str(image(kind, options)))


def database(name: str, options: Mapping[str, str]) -> Container:
    """Return the container that makes a database and its role, then ends. Raises `PermanentError` for a bad name."""
    before, after = service_file()
    return Container(
        name=setup_name(name),
        kind="setup",
        image=str(image("postgres", options)),
        command=words("psql", "--no-psqlrc", "--quiet", f"--file={FILES}/database.sql", f"service={SERVICE}"),
        limits=LIMITS["setup"],
        user=_ACCOUNT,
        env={"PGSERVICEFILE": (f"{FILES}/service.conf",)},
        files=(
            File(f"{FILES}/database.sql", (database_script(name, f"{FILES}/role-password"),)),
            File(f"{FILES}/role-password", (Secret(server_secret(ServerFile("postgres", name))),)),
            File(f"{FILES}/service.conf", (before, Secret(server_secret(ServerFile("postgres"))), after)),
        ),
        needs=("postgres",),
    )


def setup_name(database: str) -> str:
    """Return the name of the container that makes a database."""
    return f"database-{database}"


def _nats(reference: str) -> Container:
    configuration = _NATS.format(port=CLIENT_PORTS["nats"], user=NATS_USER, sync=_SYNC)
    return Container(
        name="nats",
        kind="server",
        image=reference,
        command=words("nats-server", "-c", f"{FILES}/nats.conf"),
        limits=LIMITS["nats"],
        files=(File(f"{FILES}/nats.conf", (configuration, Secret(server_secret(ServerFile("nats"))), '"}\n')),),
        volumes=(Volume("nats", "/data", "jetstream"),),
        listens=(Listen("nats", CLIENT_PORTS["nats"]),),
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
        listens=(Listen("postgres", CLIENT_PORTS["postgres"]),),
        # Over TCP: while the image makes the cluster, a server runs that listens on a socket alone.
        health=("pg_isready", "-q", "-t", "2", "-h", "127.0.0.1", "-U", POSTGRES_ADMIN),
        stop_signal="SIGINT",  # "fast": does not wait for its clients
        stop_grace=_GRACE,
    )


def _valkey(reference: str) -> Container:
    password = Secret(server_secret(ServerFile("valkey")))
    configuration = (
        f"bind 0.0.0.0\nport {CLIENT_PORTS['valkey']}\nrequirepass ",
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
        listens=(Listen("valkey", CLIENT_PORTS["valkey"]),),
        # The password goes by standard input: arguments and environments can be read by others.
        health=("sh", "-c", f"valkey-cli <{FILES}/ping | grep -qx PONG"),
        stop_grace=_GRACE,
    )


_SERVERS: Mapping[ServerKind, Callable[[str], Container]] = {"nats": _nats, "postgres": _postgres, "valkey": _valkey}
