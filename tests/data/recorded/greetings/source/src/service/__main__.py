"""Answers with its own name; `/slow` after a second, `/held` when the file in `LIVE_FILE` comes to exist, `/env/NAME`
with a variable, any other path while that file exists.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from pathlib import Path

_SLOW = 1.0  # seconds


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def _well() -> bool:
    return Path(os.environ.get("LIVE_FILE", "/")).exists()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        writer.close()
        return
    path = request.split()[1]
    status, body = "200 OK", os.environ["INSTANCE"]
    if path == "/slow":
        await asyncio.sleep(_SLOW)
    elif path == "/held":
        _say(f"held by {body}")
        while not _well():  # noqa: ASYNC110 - a file says when
            await asyncio.sleep(0.02)
    elif path.startswith("/env/"):
        body = os.environ.get(path.removeprefix("/env/"), "")
    elif path != "/" and not _well():
        status = "503 Service Unavailable"
    writer.write(
        f"HTTP/1.1 {status}\r\nContent-Length: {len(body.encode())}\r\nConnection: close\r\n\r\n{body}".encode()
    )
    await writer.drain()
    writer.close()


async def _serve() -> None:
    server = await asyncio.start_server(_answer, os.environ["HOST"], int(os.environ["PORT"]))
    _say(f"serving {os.environ['INSTANCE']}")
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await told.wait()
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others)
    _say(f"finished {os.environ['INSTANCE']}")


def main() -> None:
    """Serve, or end at once with the code in `EXIT`."""
    if module := os.environ.get("IMPORT"):
        importlib.import_module(module)
    if code := os.environ.get("EXIT"):
        _say("cannot go on: the moon is in the wrong phase")
        sys.exit(int(code))
    asyncio.run(_serve())


if __name__ == "__main__":
    main()
