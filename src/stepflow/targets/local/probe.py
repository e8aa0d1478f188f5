"""Questions to a process on 127.0.0.1, with the standard library alone: the supervisor asks them all day."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from stepflow.targets.local.spec import Probe
from stepflow.targets.ports import HOST, request

_POSTGRES_3_0 = 196608  # the protocol's version


class Reply(NamedTuple):
    """What was answered, in words."""

    ok: bool
    text: str


async def ask(probe: Probe) -> Reply:
    """Probe once; an error is an answer and is not raised."""
    try:
        async with asyncio.timeout(probe.timeout):
            return await _ASK[probe.kind](probe)
    except TimeoutError:
        return Reply(ok=False, text=f"no answer on port {probe.port} in {probe.timeout:g} s")
    except ConnectionRefusedError:
        return Reply(ok=False, text=f"nothing listens on port {probe.port}")
    except (OSError, EOFError, ValueError) as error:
        return Reply(ok=False, text=f"port {probe.port}: {error or type(error).__name__}")


async def _http(probe: Probe) -> Reply:
    status, body = await request(probe.port, probe.path)
    ok = 200 <= status < 300  # noqa: PLR2004 - RFC 9110, section 15.3
    excerpt = "" if ok else f" {' '.join(body.split())[:200]}"
    return Reply(ok=ok, text=f"GET {probe.path} answers {status}{excerpt}")


async def _postgres(probe: Probe) -> Reply:
    """Open a session as far as the password request (PostgreSQL, 54.2 Message Flow); recovery answers an error."""
    parameters = b"user\0postgres\0database\0postgres\0\0"
    reader, writer = await asyncio.open_connection(HOST, probe.port)
    try:
        writer.write(struct.pack("!ii", 8 + len(parameters), _POSTGRES_3_0) + parameters)
        kind, length = struct.unpack("!ci", await reader.readexactly(5))
        body = await reader.readexactly(length - 4)
    finally:
        writer.close()
    if kind == b"R":
        return Reply(ok=True, text="asks for the password")
    fields = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0") if field}
    return Reply(ok=False, text=fields.get(b"M", "refuses sessions"))


async def _valkey(probe: Probe) -> Reply:
    reader, writer = await asyncio.open_connection(HOST, probe.port)
    try:
        writer.write(b"PING\r\n")
        line = (await reader.readline()).decode(errors="replace").strip()
    finally:
        writer.close()
    return Reply(ok=line.startswith(("-NOAUTH", "+PONG")), text=line or "closed the connection")


_ASK: dict[str, Callable[[Probe], Awaitable[Reply]]] = {"http": _http, "postgres": _postgres, "valkey": _valkey}
