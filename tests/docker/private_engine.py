"""A Docker engine of the tests' own: beside whatever engine a machine has, never in its way.

    python tests/docker/private_engine.py

starts it with the stand-in images and keeps it until Ctrl-C. Concurrent users share it; the last one stops it. Its
images stay in the cache.
"""

from __future__ import annotations

import fcntl
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from os import geteuid
from pathlib import Path
from time import monotonic, sleep
from typing import IO

import docker
import psutil
from standins.debian import NotMade, cache
from standins.make import Say, make
from sweep import sweep

RUN = Path("/run/stepflow-tests")
BRIDGE = "stepflow-tests"
_PACKAGES = {"dockerd": "docker.io", "mmdebstrap": "mmdebstrap", "iptables": "iptables", "ip": "iproute2"}
_KEYRINGS = Path("/usr/share/keyrings")
_PATIENCE = 90  # seconds; an engine that was killed ends what it had started, ten seconds at a time


def refusal() -> str:
    """Return why there can be no engine here and what to do about it; "" when there can."""
    if sys.platform != "linux":
        return f"these tests start a Docker engine of their own, which needs Linux, and this is {sys.platform}"
    if geteuid() != 0:
        return "these tests start a Docker engine of their own, which needs root: `sudo make docker`"
    absent = {program: package for program, package in _PACKAGES.items() if shutil.which(program) is None}
    if not any(_KEYRINGS.glob("debian-archive-keyring.*")):
        absent["the keys of Debian's archive"] = "debian-archive-keyring"
    if absent:
        return f"not on this machine: {', '.join(absent)}: `apt-get install {' '.join(absent.values())}`"
    return ""


class Engine:
    """The engine; `host` is the value for `DOCKER_HOST`."""

    host = f"unix://{RUN}/docker.sock"
    _pidfile = RUN / "docker.pid"
    _log = RUN / "dockerd.log"

    def __init__(self, users: IO[str]) -> None:
        self._users = users
        self._child: subprocess.Popen[bytes] | None = None

    @contextmanager
    def client(self) -> Iterator[docker.DockerClient]:
        """Return a client; nothing that it asks may take longer than 300 s."""
        with closing(docker.DockerClient(base_url=self.host, version="auto", timeout=300)) as client:
            yield client

    def start(self) -> None:
        """Start it where it does not run. Raises `NotMade` with the end of its log."""
        if self._process() is not None:
            self._await()
            return
        _lay_network()
        for written in (self._pidfile, RUN / "exec/containerd/containerd.pid"):
            if not _alive(written):  # a number that is a zombie's, or soon another's, would stop it
                written.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, umask=0o022
            )
        self._await()

    def stop(self) -> None:
        """Stop it and what runs in it; its images stay."""
        self._end(signal.SIGTERM)
        _clear_network()

    def kill(self) -> None:
        """Kill it, as a crash would; what runs in it goes on running."""
        self._end(signal.SIGKILL)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until it has no other user, and keep others out until the block ends."""
        fcntl.flock(self._users, fcntl.LOCK_EX)
        try:
            self.start()  # a waiting process holds no lock: another one that ended took itself for the last
            yield
        finally:
            fcntl.flock(self._users, fcntl.LOCK_SH)

    def _end(self, how: signal.Signals) -> None:
        if process := self._process():
            process.send_signal(how)
        deadline = monotonic() + _PATIENCE
        while self._process() and monotonic() < deadline:
            sleep(0.05)
        if self._child is not None:
            self._child.wait(_PATIENCE)
            self._child = None

    def _process(self) -> psutil.Process | None:
        """Find the daemon by its pid file, and only if the process of that number is it."""
        process = _alive(self._pidfile)
        return process if process and f"--pidfile={self._pidfile}" in process.cmdline() else None

    def _await(self) -> None:
        deadline = monotonic() + _PATIENCE
        while monotonic() < deadline and (self._child is None or self._child.poll() is None):
            if self.answers():
                return
            sleep(0.05)
        raise NotMade("`dockerd` does not answer:\n" + "\n".join(self._log.read_text().splitlines()[-15:]))

    def answers(self) -> bool:
        """Return whether it answers (without the SDK, which leaves a socket open without an answer)."""
        with socket.socket(socket.AF_UNIX) as line, suppress(OSError):
            line.settimeout(_PATIENCE)
            line.connect(self.host.removeprefix("unix://"))
            line.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in line.recv(64)
        return False

    def _command(self) -> tuple[str, ...]:
        settings = RUN / "daemon.json"  # without one it would read the machine's
        settings.write_text("{}")
        names = "--containerd-namespace=stepflow-tests", "--containerd-plugins-namespace=stepflow-tests-plugins"
        return (
            "dockerd", f"--config-file={settings}", f"--host={self.host}", "--group=root", f"--pidfile={self._pidfile}",
            f"--data-root={cache() / 'engine'}", f"--exec-root={RUN / 'exec'}", *names, "--storage-driver=overlay2",
            f"--bridge={BRIDGE}", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
            "--ip-masq=false", "--shutdown-timeout=5", "--log-level=warn",
        )  # fmt: skip


def _alive(pidfile: Path) -> psutil.Process | None:
    """Return the process that a pid file names, unless it has ended or only waits to be reaped."""
    with suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int(pidfile.read_text()))
        if process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


@contextmanager
def lent(say: Say) -> Iterator[Engine]:
    """Yield the engine, running and with the stand-ins; raises `NotMade`. It stops with its last user."""
    RUN.mkdir(parents=True, exist_ok=True)
    with (RUN / "users").open("w") as users, (RUN / "start").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        first = _no_other_user(users)
        fcntl.flock(users, fcntl.LOCK_SH)
        engine = Engine(users)
        try:
            engine.start()
            with engine.client() as client:
                if first:
                    sweep(client)
                make(client, say)
            fcntl.flock(starting, fcntl.LOCK_UN)
            yield engine
        finally:
            if _no_other_user(users):
                engine.stop()


def _no_other_user(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# Without a bridge of its own the engine would take `docker0`, and with `--bridge=none` it would remove it. (It also
# removes it where it has address pools of its own; without, it takes addresses that are unused on this machine.)
# Another engine sets the policy for forwarded packets to DROP, and that holds for containers on one bridge, too.
_RULE = ("FORWARD", "--match", "physdev", "--physdev-is-bridged", "--jump", "ACCEPT")


def _lay_network() -> None:
    if not _bridged():
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "address", "add", "10.213.0.1/24", "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
    if "-P FORWARD DROP" in _run("iptables", "--wait", "--list-rules", "FORWARD") and not _ruled():
        _run("iptables", "--wait", "--append", *_RULE)  # the last word before the policy


def _clear_network() -> None:
    if _ruled():
        _run("iptables", "--wait", "--delete", *_RULE)
    if _bridged():
        _run("ip", "link", "delete", BRIDGE)


def _bridged() -> bool:
    return Path("/sys/class/net", BRIDGE).exists()


def _ruled() -> bool:
    return subprocess.run(("iptables", "--wait", "--check", *_RULE), capture_output=True, check=False).returncode == 0


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMade(f"`{' '.join(command)}`: {done.stderr.strip()}")
    return done.stdout


def _by_hand() -> None:
    why = refusal()
    if why:
        sys.exit(f"error: {why}")
    with lent(lambda line: print(line, file=sys.stderr)) as engine:  # noqa: T201 - a script's output
        print(f"export DOCKER_HOST={engine.host}", flush=True)  # noqa: T201 - likewise
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    _by_hand()
