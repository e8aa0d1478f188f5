"""The backing services inside the cluster: NATS (three nodes), PostgreSQL and Valkey.

Each is a StatefulSet that keeps its data. Passwords come from mounted Secrets; no manifest holds one.
"""

from __future__ import annotations

from dataclasses import dataclass

from stepflow.targets.images import IMAGES
from stepflow.workload import ServerKind

from . import objects
from .model import Object, Platform
from .names import SECRETS
from .pod import Pod

PART = "backing-server"
PORTS: dict[ServerKind, dict[str, int]] = {
    "nats": {"client": 4222, "cluster": 6222, "monitor": 8222},
    "postgres": {"postgres": 5432},
    "valkey": {"valkey": 6379},
}
CLIENT_PORT: dict[ServerKind, int] = {"nats": 4222, "postgres": 5432, "valkey": 6379}
_NATS_NODES = 3


@dataclass(frozen=True, slots=True)
class _Server:
    """What differs between the backing services."""

    image: str
    uid: int
    command: tuple[str, ...]
    env: tuple[Object, ...]
    probes: Object
    secrets: tuple[tuple[str, str], ...]  # Secret, key
    configs: dict[str, str]
    config_path: str
    data_path: str
    storage: str
    replicas: int = 1


def server_objects(platform: Platform, kind: ServerKind) -> list[Object]:
    """Give everything that one backing service needs, in the order in which it is applied."""
    server = {"nats": _nats, "postgres": _postgres, "valkey": _valkey}[kind](platform)
    pod = _pod(kind, server)
    return [
        objects.service_account(platform, kind, PART),
        objects.config_map(platform, kind, server.configs, PART),
        objects.service(platform, kind, PORTS[kind], PART),
        objects.service(platform, kind, PORTS[kind], PART, headless=True),
        objects.stateful_set(platform, pod, server.replicas, {"data": server.storage}),
        objects.budget(platform, kind, PART),
    ]


def own_secrets(platform: Platform, kind: ServerKind) -> tuple[tuple[str, str], ...]:
    """Name the Secrets (and keys) that a backing service itself reads."""
    if kind == "postgres":
        roles = tuple((f"postgres-{database}-role", "password") for database in platform.databases())
        return (("postgres-superuser", "password"), *roles)
    return ((f"{kind}-auth", "auth.conf"),)


def _pod(kind: ServerKind, server: _Server) -> Pod:
    volumes = [objects.secret_volume(name, [key]) for name, key in server.secrets]
    mounts: list[Object] = [
        {"name": name, "mountPath": f"{SECRETS}/{name}", "readOnly": True} for name, _ in server.secrets
    ]
    volumes.append({"name": "config", "configMap": {"name": f"{kind}-config"}})
    mounts.append({"name": "config", "mountPath": server.config_path, "readOnly": True})
    mounts.append({"name": "data", "mountPath": server.data_path})
    if kind == "postgres":
        volumes.append({"name": "run", "emptyDir": {"sizeLimit": "16Mi"}})
        mounts.append({"name": "run", "mountPath": "/var/run/postgresql"})
    container: Object = {
        "name": kind,
        "image": server.image,
        "args": list(server.command),
        "env": list(server.env),
        "ports": [{"name": name, "containerPort": number, "protocol": "TCP"} for name, number in PORTS[kind].items()],
    }
    return Pod(
        component=kind,
        part=PART,
        container=container | server.probes,
        volumes=volumes,
        mounts=mounts,
        uid=server.uid,
        size="large",
        stop_grace=30.0,
    )


def _probes(startup: Object, ready: Object, live: Object) -> Object:
    return {
        "startupProbe": startup | {"periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 60},
        "readinessProbe": ready | {"periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 2},
        "livenessProbe": live | {"periodSeconds": 10, "timeoutSeconds": 3, "failureThreshold": 3},
    }


def _nats(platform: Platform) -> _Server:
    def healthz(query: str = "") -> Object:
        return {"httpGet": {"path": f"/healthz{query}", "port": "monitor", "scheme": "HTTP"}}

    routes = "\n".join(f"    nats://nats-{node}.nats-pods:6222" for node in range(_NATS_NODES))
    config = (
        "server_name: $POD_NAME\n"
        "listen: 0.0.0.0:4222\n"
        "http: 0.0.0.0:8222\n"
        f"include ../../..{SECRETS}/nats-auth/auth.conf\n"
        "jetstream {\n  store_dir: /data\n  max_file_store: 8GB\n  max_memory_store: 128MB\n}\n"
        f"cluster {{\n  name: {platform.namespace}\n  listen: 0.0.0.0:6222\n  routes: [\n{routes}\n  ]\n}}\n"
    )
    name = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}
    return _Server(
        image=IMAGES["nats"].qualified,
        uid=65532,
        command=("-c", "/etc/stepflow/nats/nats.conf"),
        env=(name,),
        probes=_probes(
            healthz("?js-enabled-only=true"), healthz("?js-server-only=true"), {"tcpSocket": {"port": "client"}}
        ),
        secrets=own_secrets(platform, "nats"),
        configs={"nats.conf": config},
        config_path="/etc/stepflow/nats",
        data_path="/data",
        storage="10Gi",
        replicas=_NATS_NODES,
    )


def _postgres(platform: Platform) -> _Server:
    lines = ["\\set ON_ERROR_STOP on"]
    for database in platform.databases():
        identifier = '"' + database.replace('"', '""') + '"'
        lines += [
            f"\\set password `cat {SECRETS}/postgres-{database}-role/password`",
            f"CREATE ROLE {identifier} LOGIN PASSWORD :'password';",
            f"CREATE DATABASE {identifier} OWNER {identifier};",
        ]
    ready: Object = {"exec": {"command": ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"]}}
    started: Object = {"exec": {"command": ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres", "-t", "2"]}}
    return _Server(
        image=IMAGES["postgres"].qualified,
        uid=999,
        command=("postgres", "-c", "max_connections=300", "-c", "password_encryption=scram-sha-256"),
        env=(
            {"name": "POSTGRES_INITDB_ARGS", "value": "--auth-host=scram-sha-256 --data-checksums"},
            {"name": "POSTGRES_PASSWORD_FILE", "value": f"{SECRETS}/postgres-superuser/password"},
        ),
        probes=_probes(started, ready, {"tcpSocket": {"port": "postgres"}}),
        secrets=own_secrets(platform, "postgres"),
        configs={"databases.sql": "\n".join(lines) + "\n"},
        config_path="/docker-entrypoint-initdb.d",
        data_path="/var/lib/postgresql",
        storage="20Gi",
    )


def _valkey(platform: Platform) -> _Server:
    config = (
        f"include {SECRETS}/valkey-auth/auth.conf\n"
        "bind 0.0.0.0\nport 6379\ndir /data\nappendonly yes\nmaxmemory 256mb\nmaxmemory-policy noeviction\n"
    )
    ping: Object = {"exec": {"command": ["valkey-cli", "ping"]}}
    tcp: Object = {"tcpSocket": {"port": "valkey"}}
    return _Server(
        image=IMAGES["valkey"].qualified,
        uid=999,
        command=("valkey-server", "/etc/stepflow/valkey/valkey.conf"),
        env=(),
        probes=_probes(ping, ping, tcp),
        secrets=own_secrets(platform, "valkey"),
        configs={"valkey.conf": config},
        config_path="/etc/stepflow/valkey",
        data_path="/data",
        storage="2Gi",
    )
