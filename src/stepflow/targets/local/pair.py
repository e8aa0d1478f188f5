"""Supervisor and guardian: two processes joined by a socket. When it closes, the other one was killed: restart it.

Both hold the same open file with the platform's `flock`, so the lock is free only when both are gone.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

from stepflow.targets.local.layout import Layout

Role = Literal["supervisor", "guardian"]
_GOODBYE = b"q"
_F_GETPATH, _PATH_MAX = 50, 1024  # macOS: fcntl(2)
_PATIENCE = 2.0  # seconds that a new guardian tries to get the lock, which a check of it may hold for an instant


class Partner:
    """The other one of the two."""

    def __init__(self, role: Role, state: str, lock: int, connection: int | None = None) -> None:
        self.pid = os.getppid() if connection is not None else 0
        self._role = role
        self._begun = state
        self._lock = lock
        self._started: subprocess.Popen[bytes] | None = None
        self._socket = socket.socket(fileno=connection) if connection is not None else None

    @property
    def socket(self) -> socket.socket:
        """The connection, to wait upon."""
        assert self._socket is not None
        return self._socket

    @property
    def state(self) -> str:
        """The platform's state directory, wherever it was moved since."""
        path = _path(self._lock)
        return self._begun if path is None else str(path.parents[1])

    @property
    def reachable(self) -> bool:
        """Whether the lock is still a file: otherwise the state directory was removed, and no command can find it."""
        return os.fstat(self._lock).st_nlink > 0 or _path(self._lock) is not None

    def died(self) -> bool:
        """Wait until the partner is gone; return whether it was killed, not finished."""
        return self.socket.recv(1) != _GOODBYE

    def dismiss(self) -> None:
        """Leave together."""
        self.socket.send(_GOODBYE)

    def revive(self) -> None:
        """Start the partner with a new connection and the same lock."""
        if self._started is not None:
            self._started.wait()
        if self._socket is not None:
            self._socket.close()
        self._socket, theirs = socket.socketpair()
        with theirs:
            numbers = (self._lock, theirs.fileno())
            self._started = _start(self._role, self.state, *map(str, numbers), keep=numbers)
        self.pid = self._started.pid


def _path(descriptor: int) -> Path | None:
    """Return the path that an open file has now; None where the system does not say it, and for a file that is gone."""
    try:
        if sys.platform == "darwin":
            path = Path(os.fsdecode(fcntl.fcntl(descriptor, _F_GETPATH, bytes(_PATH_MAX)).rstrip(b"\0")))
        else:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
        return path if os.path.samestat(path.stat(), os.fstat(descriptor)) else None
    except OSError:
        return None


def _start(role: Role, state: str, *arguments: str, keep: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    with (Layout(Path(state)).logs / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", f"stepflow.targets.local.{role}", state, *arguments],
            env={**os.environ, "PYTHONPATH": _absolute(os.environ.get("PYTHONPATH", ""))},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            pass_fds=keep,
            start_new_session=True,
        )


def _absolute(path: str) -> str:
    """Return a PYTHONPATH that is valid in another working directory; "" for none."""
    return os.pathsep.join(str(Path(entry).resolve()) for entry in path.split(os.pathsep) if entry)


def launch(layout: Layout) -> None:
    """Start a guardian, which starts a supervisor; harmless where they run already."""
    _start("guardian", str(layout.state)).wait()


def alive(layout: Layout) -> bool:
    """Return whether a supervisor or its guardian runs."""
    try:
        with layout.alive.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def take_lock(layout: Layout) -> int | None:
    """Take the platform's lock and return its descriptor; None when another pair has it."""
    descriptor = os.open(layout.alive, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.02)
        else:
            return descriptor
