"""NATS: nodes that hold the streams together, each with a file store of its own."""

from __future__ import annotations

from stepflow.targets.addresses import CLIENT_PORTS, NATS_USER

from .environment import environment
from .model import Object, Release
from .names import CONFIGS, SECRETS
from .resources import mebibytes
from .server import BackingServer, probes
from .slot import text

AUTH = "nats-auth"
AUTH_FILE = "auth.conf"
_CLUSTER = 6222
_NAME = "CLUSTER_NAME"
_MONITOR = 8222
_SYNC = "1s"  # NATS's default of 2 min survives kill -9, but loses what it acknowledged when the power fails
_ELECTION = 15  # seconds, twice what the election of a leader was seen to take
_FILLED = 0.9  # of the volume; a store that is full says so, a file system that is full breaks it


def auth_shape(password: str) -> str:
    """Return the text of the file of the user and the password."""
    return f'authorization {{ user: {NATS_USER}, password: "{password}" }}\n'


def nats(release: Release) -> BackingServer:
    """Return the nodes. One that stops first asks its clients to go to another."""
    nodes = release.values.nats.nodes
    ports = {"client": CLIENT_PORTS["nats"], "monitor": _MONITOR}
    return BackingServer(
        kind="nats",
        size="nats",
        command=("nats-server", "-c", f"{CONFIGS}/nats.conf"),
        ports=ports | ({"cluster": _CLUSTER} if nodes > 1 else {}),
        probes=_probes(),
        data_path="/data",
        folder="nats",
        storage=release.values.nats.size,
        secrets={AUTH: (AUTH_FILE,)},
        configs={"nats.conf": _config(release)},
        env=environment(_cluster_name(release) if nodes > 1 else {}, {"POD_NAME": "metadata.name"}),
        replicas=nodes,
        among=(_CLUSTER,) if nodes > 1 else (),
        before_stop={"exec": {"command": ["nats-server", "--signal", "ldm=1"]}},
    )


def _config(release: Release) -> str:
    nodes = release.values.nats.nodes
    store = int(mebibytes(release.values.nats.size) * _FILLED)
    lines = [
        "server_name: $POD_NAME",
        f"listen: 0.0.0.0:{CLIENT_PORTS['nats']}",
        f"http: 0.0.0.0:{_MONITOR}",
        f"include ../..{SECRETS}/{AUTH}/{AUTH_FILE}",  # a path is taken from this file's folder
        f"jetstream {{ store_dir: /data, sync_interval: {_SYNC}, max_file_store: {store}MiB, max_mem: 64MiB }}",
        "lame_duck_grace_period: 2s",
        "lame_duck_duration: 30s",
    ]
    if nodes > 1:
        routes = ", ".join(f"nats://nats-{node}.nats-pods:{_CLUSTER}" for node in range(nodes))
        lines.append(f"cluster {{ name: ${_NAME}, listen: 0.0.0.0:{_CLUSTER}, routes: [{routes}] }}")
    return "".join(f"{line}\n" for line in lines)


def _cluster_name(release: Release) -> dict[str, str]:
    """Return the variable with the name of the nodes' cluster, quoted so that no namespace is taken for a number.

    The configuration refers to it: its object is named after its content, and a plan has to know that name before
    the platform has a namespace.
    """
    return {_NAME: text('"', release.namespace, '"')}


def _probes() -> Object:
    """Return what tells a node that has started, one that serves, and one that is alive.

    `/healthz` (https://docs.nats.io/reference/system/monitor/healthz) without a query asks for all of JetStream: its
    meta leader, and every stream and consumer of this node, which must be recovered, current and writable. With
    `js-server-only` the streams are left out, and a node whose disk is full serves on; with `js-enabled-only` the
    leader is, too, which a node that starts with the others cannot have yet. The next node of a rolling update is
    replaced when this one has caught up. While a leader is elected, up to 7 s, none is healthy: that is waited out.
    A node is alive without the others: restarting those that are left does not bring back a quorum.
    """
    found = probes(_healthz("?js-enabled-only=true"), _healthz(), {"tcpSocket": {"port": "client"}})
    found["readinessProbe"]["failureThreshold"] = _ELECTION // found["readinessProbe"]["periodSeconds"]
    return found


def _healthz(query: str = "") -> Object:
    return {"httpGet": {"path": f"/healthz{query}", "port": "monitor", "scheme": "HTTP"}}
