"""One HTTP request to a port of this machine, with the standard library alone: it is made many times a second."""

from __future__ import annotations

import asyncio

from stepflow.targets.ports import HOST

_LONGEST = 65536  # bytes of an answer that are read


async def request(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """Make one HTTP/1.1 request and return status and body."""
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
