"""Valkey, one copy, that writes down what it is told."""

from __future__ import annotations

from stepflow.targets.addresses import CLIENT_PORTS

from .model import Object, Release
from .names import CONFIGS, SECRETS
from .server import BackingServer, probes

AUTH = "valkey-auth"
AUTH_FILE = "auth.conf"
PING_FILE = "ping"


def auth_shape(password: str) -> str:
    """Return the text of the file of the password."""
    return f"requirepass {password}\n"


def ping_shape(password: str) -> str:
    """Return what the probe says: by standard input, for arguments and environments can be read by others."""
    return f"AUTH {password}\nPING\n"


def valkey(release: Release) -> BackingServer:
    """Return the server."""
    number = CLIENT_PORTS["valkey"]
    config = (
        f"include {SECRETS}/{AUTH}/{AUTH_FILE}\nbind 0.0.0.0\nport {number}\ndir /data\nappendonly yes\n"
        'save ""\ndaemonize no\nmaxmemory 256mb\nmaxmemory-policy noeviction\n'
    )
    ping = f"valkey-cli <{SECRETS}/{AUTH}/{PING_FILE} | grep -qx PONG"
    answers: Object = {"exec": {"command": ["sh", "-c", ping]}}
    listens: Object = {"tcpSocket": {"port": "valkey"}}
    return BackingServer(
        kind="valkey",
        size="valkey",
        command=("valkey-server", f"{CONFIGS}/valkey.conf"),
        ports={"valkey": number},
        probes=probes(listens, answers, listens),
        data_path="/data",
        folder="valkey",
        storage=release.values.valkey.size,
        secrets={AUTH: (AUTH_FILE, PING_FILE)},
        configs={"valkey.conf": config},
    )
