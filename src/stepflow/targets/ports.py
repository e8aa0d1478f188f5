"""Port numbers of this machine, on 127.0.0.1 only: which are free, and who has the others."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


def free(number: int) -> bool:
    """Return whether one can listen on this port now."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((HOST, number))
            attempt.listen(1)
        except OSError:
            return False
    return True


def by(number: int | None) -> str:
    """Name the process that listens on a port, as far as this user may see it: " by `x` (pid 1)", or nothing."""
    import psutil  # noqa: PLC0415 - only needed for the message

    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.pid is not None
        if listens and getattr(connection.laddr, "port", None) == number:
            try:
                return f" by `{psutil.Process(connection.pid).name()}` (pid {connection.pid})"
            except psutil.NoSuchProcess:
                return ""
    return ""
