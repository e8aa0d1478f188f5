"""PostgreSQL: its own programs driven directly, TCP and passwords only, as root without being root.

PostgreSQL refuses to run as root. Root therefore runs it in a user namespace in which root is called `nobody` (the
files stay root's), or, where there are no user namespaces, as an unprivileged account that exists.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

from stepflow.errors import MachineError
from stepflow.handoff import ServerFile
from stepflow.targets.addresses import POSTGRES_ADMIN, server_secret
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.servers.programs import find
from stepflow.targets.local.spec import Preparation, Probe, Process
from stepflow.targets.ports import HOST
from stepflow.targets.secretfiles import secret_file, secret_text

PORTS: tuple[str, ...] = ("postgres",)
_PASSWORD = server_secret(ServerFile("postgres"))
_SETTINGS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=64MB", "max_connections=200")
_INIT = (
    *("-U", POSTGRES_ADMIN, "--auth-local=scram-sha-256", "--auth-host=scram-sha-256"),
    *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"),
)


def define(layout: Layout, numbers: dict[str, int]) -> Process:
    """Say how to run it and how to make its cluster first."""
    program = Path(find("postgres").path)
    home = layout.data / "postgres"
    home.mkdir(exist_ok=True, mode=0o700)
    prefix, account = privileges()
    password = _password_file(layout, home, account)
    temporary, final = str(home / "cluster.new"), str(home / "cluster")
    initdb = (*prefix, str(program.with_name("initdb")), "-D", temporary, f"--pwfile={password}", *_INIT)
    settings = (f"port={numbers['postgres']}", *_SETTINGS)
    options = tuple(part for setting in settings for part in ("-c", setting))
    return Process(
        name="postgres",
        owner="postgres",
        kind="server",
        command=(*prefix, str(program), "-D", final, *options),
        env={"LC_ALL": "C.UTF-8"},
        cwd="/",
        log=str(layout.log("postgres")),
        ready=Probe("postgres", numbers["postgres"], interval=0.05),
        ports=numbers,
        url=f"postgresql://{HOST}:{numbers['postgres']}",
        data=("postgres",),
        stop=signal.SIGINT,  # "fast": does not wait for its clients
        account=account,
        preparation=Preparation(initdb, temporary, final),
    )


@cache
def privileges() -> tuple[tuple[str, ...], int | None]:
    """Say how root gives up being root: a command to put in front, or an account. Raises `MachineError`."""
    if os.geteuid() != 0:
        return (), None
    namespace = ("unshare", "--user", "--map-user=65534", "--map-group=65534")
    if sys.platform == "linux" and shutil.which("unshare"):
        tried = subprocess.run([*namespace, "true"], capture_output=True, check=False)
        if tried.returncode == 0:
            return namespace, None
    for name in ("postgres", "nobody"):
        try:
            return (), pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise MachineError(
        "PostgreSQL does not run as root, and here is neither a user namespace nor an account `nobody`",
        hint="run stepflow as a normal user",
    )


def _password_file(layout: Layout, home: Path, account: int | None) -> Path:
    """Give a file with the administrator's password that the account can read; hands it the folder, too."""
    if account is None:
        return secret_file(layout.secrets, _PASSWORD)
    closed = [parent for parent in (*home.parents, Path(find("postgres").path).parent) if not parent.stat().st_mode & 1]
    if closed:
        raise MachineError(
            f"PostgreSQL does not run as root, and as account {account} it cannot pass through `{closed[-1]}`",
            hint=f"run stepflow as a normal user, or where other users may pass, or `chmod o+x {closed[-1]}`",
        )
    copy = home / "password"
    copy.touch(mode=0o600)
    copy.write_text(secret_text(layout.secrets, _PASSWORD), encoding="ascii")
    for path in (home, copy):
        os.chown(path, account, account)
    return copy
