"""The backing servers as processes: how each is configured, started and probed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stepflow.errors import MachineError
from stepflow.targets.addresses import NATS_USER, POSTGRES_ADMIN
from stepflow.targets.local.cluster import PASSWORD, settle
from stepflow.targets.local.desired import Definition, found
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.observed import LocalState
from stepflow.targets.local.spec import Preparation, Probe, Process, digest_of
from stepflow.targets.ports import HOST
from stepflow.targets.secretfiles import secret_text

_SYNC = "1s"  # NATS's default of 2 min survives kill -9, but loses what it acknowledged when the power fails
_SETTINGS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=64MB", "max_connections=200")
_INIT = (
    *("-U", POSTGRES_ADMIN, "--auth-local=scram-sha-256", "--auth-host=scram-sha-256"),
    *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"),
)


@dataclass(frozen=True, slots=True)
class ServerSetup:
    """How to run one kind of server."""

    ports: tuple[str, ...]
    define: Callable[[Layout, Mapping[str, int], LocalState], Definition]
    """Define its process from its ports, by the names in `ports`, its program and the secrets that there are; pure."""


def _nats(layout: Layout, numbers: Mapping[str, int], now: LocalState) -> Definition:
    """NATS with JetStream: one account, messages below the platform's data."""
    configuration = {
        "server_name": "stepflow",
        "listen": f"{HOST}:{numbers['nats']}",
        "http": f"{HOST}:{numbers['monitor']}",
        "jetstream": {"store_dir": str(layout.data / "nats"), "sync_interval": _SYNC},
        "authorization": {"user": NATS_USER, "password": now.secrets.get("nats", "")},
    }
    program = now.program("nats")
    text = json.dumps(configuration, indent=1, ensure_ascii=False)  # its format takes JSON, but no `\\u00fc`
    process = Process(
        name="nats",
        owner="nats",
        kind="server",
        command=(program.path, "-c", str(layout.configs / "nats" / "nats.conf")),
        env={},
        cwd="/",
        log=str(layout.log("nats")),
        ready=Probe("http", numbers["monitor"], "/healthz", interval=0.05),
        ports=dict(numbers),
        configuration=digest_of(text),
        url=f"nats://{HOST}:{numbers['nats']}",
        data=("nats",),
        program=program.said("nats"),
        found=found(now, ("nats",)),
    )
    return Definition(process, files={"nats.conf": text}, secrets=("nats",))


def _valkey(layout: Layout, numbers: Mapping[str, int], now: LocalState) -> Definition:
    """Valkey with a password and an append-only file."""
    program, data = now.program("valkey"), layout.data / "valkey"
    lines = (
        f"bind {HOST}",
        f"port {numbers['valkey']}",
        f"requirepass {now.secrets.get('valkey', '')}",
        f"dir {json.dumps(str(data), ensure_ascii=False)}",  # its quoting is JSON's for what a path can hold
        "appendonly yes",
        'save ""',
        "daemonize no",
    )
    text = "\n".join(lines) + "\n"
    process = Process(
        name="valkey",
        owner="valkey",
        kind="server",
        command=(program.path, str(layout.configs / "valkey" / "valkey.conf")),
        env={},
        cwd="/",
        log=str(layout.log("valkey")),
        ready=Probe("valkey", numbers["valkey"], interval=0.05),
        ports=dict(numbers),
        configuration=digest_of(text),
        url=f"redis://{HOST}:{numbers['valkey']}",
        data=("valkey",),
        program=program.said("valkey"),
        found=found(now, ("valkey",)),
    )
    return Definition(process, folders=(data,), files={"valkey.conf": text}, secrets=("valkey",))


def _postgres(layout: Layout, numbers: Mapping[str, int], now: LocalState) -> Definition:
    """PostgreSQL, its own programs driven directly: TCP and passwords only.

    It refuses to run as root. Root therefore runs it in a user namespace in which root is called `nobody` (the files
    stay root's), or, where there are no user namespaces, as an unprivileged account that exists.
    """
    chosen = now.program("postgres")
    program, prefix, account, home = Path(chosen.path), chosen.prefix, chosen.account, layout.postgres
    # initdb reads the password from its file, and the cluster keeps it
    secret = layout.secrets / PASSWORD if account is None else home / "password"
    temporary, final = str(home / "cluster.new"), str(layout.cluster)
    initdb = (*prefix, str(program.parent / "initdb"), "-D", temporary, f"--pwfile={secret}", *_INIT)
    settings = (f"port={numbers['postgres']}", *_SETTINGS)
    options = tuple(part for setting in settings for part in ("-c", setting))
    process = Process(
        name="postgres",
        owner="postgres",
        kind="server",
        command=(*prefix, str(program), "-D", final, *options),
        env={"LC_ALL": "C.UTF-8"},
        cwd="/",
        log=str(layout.log("postgres")),
        ready=Probe("postgres", numbers["postgres"], interval=0.05),
        ports=dict(numbers),
        url=f"postgresql://{HOST}:{numbers['postgres']}",
        data=("postgres",),
        program=chosen.said("postgres"),
        stop=signal.SIGINT,  # "fast": does not wait for its clients
        account=account,
        preparation=Preparation(initdb, temporary, final),
    )
    return Definition(process, folders=(home,), prepare=partial(_prepare, layout, prefix, program, account))


SERVERS: Mapping[str, ServerSetup] = {
    "nats": ServerSetup(("nats", "monitor"), _nats),
    "postgres": ServerSetup(("postgres",), _postgres),
    "valkey": ServerSetup(("valkey",), _valkey),
}


def _prepare(layout: Layout, prefix: tuple[str, ...], program: Path, account: int | None) -> None:
    """Settle the cluster; make the file with the administrator's password readable for the account, where there is one,
    and hand it the folder, too.
    """
    if account is not None:
        _require_passable(layout.postgres, program, account)
    settle(layout, prefix, program, account)
    if account is None:
        return
    copy = layout.postgres / "password"
    copy.touch(mode=0o600)
    copy.write_text(secret_text(layout.secrets, PASSWORD), encoding="ascii")
    for path in (layout.postgres, copy):
        os.chown(path, account, account)


def _require_passable(home: Path, program: Path, account: int) -> None:
    closed = [parent for parent in (*home.parents, program.parent) if not parent.stat().st_mode & 1]
    if closed:
        raise MachineError(
            f"PostgreSQL does not run as root, and as account {account} it cannot pass through `{closed[-1]}`",
            hint=f"run stepflow as a normal user, or where other users may pass, or `chmod o+x {closed[-1]}`",
        )
