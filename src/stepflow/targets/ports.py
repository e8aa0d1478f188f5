"""Ports of this machine, on 127.0.0.1 only: which are free, which process has the others, and a request to one."""

from __future__ import annotations

import asyncio
import socket

HOST = "127.0.0.1"
_LONGEST = 65536  # bytes of an answer that are read


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


async def request(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """Make one HTTP/1.1 request and return status and body; with the standard library alone, for frequent probes.

    Raises `OSError` for a port on which nothing listens, `ValueError` for an answer that is not HTTP.
    """
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        headers = f"Host: {HOST}:{port}\r\nConnection: close\r\nContent-Length: 0\r\n"
        writer.write(f"{method} {path} HTTP/1.1\r\n{headers}\r\n".encode())
        await writer.drain()
        raw = b""
        while len(raw) < _LONGEST and (more := await reader.read(_LONGEST)):
            raw += more
    finally:
        writer.close()
    head, _, body = raw.partition(b"\r\n\r\n")
    status = head.partition(b" ")[2][:3]
    if not status.isdigit():
        raise ValueError("does not answer in HTTP" if raw else "closed the connection without an answer")
    return int(status), body.decode(errors="replace")
