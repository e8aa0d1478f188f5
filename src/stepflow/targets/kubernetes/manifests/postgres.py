"""PostgreSQL, one copy, by the contract of the official image; databases are made by Jobs, also on an old volume."""

from __future__ import annotations

from stepflow.targets.addresses import CLIENT_PORTS, POSTGRES_ADMIN

from .environment import environment
from .model import Object, Release
from .names import SECRETS
from .pod import USER
from .server import BackingServer, probes

ADMIN = "postgres-admin"
PASSWORD_FILE = "password"  # noqa: S105 - a file's name
SERVICE_FILE = "service.conf"
_HOME = "/var/lib/postgresql"
_INITDB = "--auth-local=scram-sha-256 --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8"
_ACCOUNTS = f"root:x:0:0:root:/root:/bin/sh\npostgres:x:{USER}:{USER}::{_HOME}:/bin/sh\n"
_ACCOUNTS_FILE = "accounts"


def role_secret(database: str) -> str:
    """Name the Secret of the password of the role that owns a database."""
    return f"postgres-{database.replace('_', '-')}-role"


def postgres(release: Release) -> BackingServer:
    """Return the server. `initdb` refuses a user without a name, so that the image's own user gets our number."""
    # Over TCP: while the image makes the cluster, a server runs that listens on a socket alone.
    asked: list[str] = ["pg_isready", "-q", "-h", "127.0.0.1", "-U", POSTGRES_ADMIN]
    ready: Object = {"exec": {"command": asked}}
    started: Object = {"exec": {"command": [*asked, "-t", "2"]}}
    env = {
        "PGDATA": f"{_HOME}/18/docker",
        "POSTGRES_INITDB_ARGS": _INITDB,
        "POSTGRES_PASSWORD_FILE": f"{SECRETS}/{ADMIN}/{PASSWORD_FILE}",
    }
    return BackingServer(
        kind="postgres",
        size="postgres",
        command=("docker-entrypoint.sh", "postgres", "-c", "shared_buffers=64MB", "-c", "max_connections=300"),
        ports={"postgres": CLIENT_PORTS["postgres"]},
        probes=probes(started, ready, {"tcpSocket": {"port": "postgres"}}),
        data_path=_HOME,
        storage=release.values.postgres.size,
        secrets={ADMIN: (PASSWORD_FILE,)},
        configs={_ACCOUNTS_FILE: _ACCOUNTS},
        env=environment(env, {}),
        volumes=({"name": "run", "emptyDir": {"sizeLimit": "16Mi"}},),
        among=(CLIENT_PORTS["postgres"],),  # for the Jobs that make databases
        mounts=(
            {"name": "run", "mountPath": "/var/run/postgresql"},
            {"name": "config", "mountPath": "/etc/passwd", "subPath": _ACCOUNTS_FILE, "readOnly": True},
        ),
    )
