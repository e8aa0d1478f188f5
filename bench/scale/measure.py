"""One bounded run that measures all unit costs: the platform under a small load, then its servers alone."""

from __future__ import annotations

import asyncio
import json
import os
import platform as machine
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import nats

from scale import customers, servers, traced
from scale.costs import Costs
from scale.queueing import quantile
from scale.running import BACKGROUND, Running, reference_workflow

IDLE = 12.0  # seconds
ORDERS = (3.0, 15.0)  # a second, seconds
READS = (25.0, 8.0)
SIGN_INS = (3.0, 8.0)
SETTLE = 8.0  # seconds in which what an order left to do is done, telemetry included
SATURATED = (16, 10.0)  # orders under way, seconds
SIZES = ("20000", "100000")  # events in the warehouse
Say = Callable[[str], None]


def measure(say: Say) -> Costs:
    """Measure everything; about three minutes on two cores."""
    load = os.getloadavg()[0]
    begun = time.perf_counter()
    with reference_workflow() as running:
        say(f"platform up after {time.perf_counter() - begun:.0f} s")
        costs = asyncio.run(_costs(running, say))
    costs.taken.update(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=f"{os.cpu_count()} cores, {machine.system()}, Python {machine.python_version()}",
        load=f"{load:.1f} before, {os.getloadavg()[0]:.1f} at the end",
        seconds=f"{time.perf_counter() - begun:.0f}",
    )
    return costs


async def _costs(running: Running, say: Say) -> Costs:
    async with AsyncExitStack() as stack:
        everybody = await customers.customers(running.gateway, stack)
        await customers.one_each(everybody)
        await asyncio.sleep(SETTLE / 2)
        idle, _ = await _cpu(running, asyncio.sleep, IDLE)
        say("idle measured")
        order, counts, serial, observed = await _orders(running, everybody, idle)
        say("orders measured")
        read, sign_in = await _others(running, everybody, idle)
        say("reads and sign-ins measured")
        observed["orders a second, saturated"] = await customers.saturated(everybody, *SATURATED)
        say("saturation measured")
    serial |= await asyncio.to_thread(_projections, running)
    limits = await _limits(running)
    say("servers measured")
    warehouse = await asyncio.to_thread(_warehouse, running)
    return Costs({}, idle, order, read, sign_in, counts, serial, limits, warehouse, observed)


async def _cpu(
    running: Running, work: Callable[[float], Awaitable[None]], seconds: float
) -> tuple[dict[str, float], float]:
    """CPU-seconds a second of each program during some work, and how long it took."""
    before, begun = running.cpu(), time.perf_counter()
    await work(seconds)
    took, after = time.perf_counter() - begun, running.cpu()
    return {name: (after[name] - before[name]) / took for name in before}, took


async def _each(
    running: Running, idle: dict[str, float], work: customers.Work, load: tuple[float, float], settle: float
) -> tuple[dict[str, float], int]:
    """CPU-seconds of one piece of work in each program, beyond idling, and how many pieces were done."""
    done = 0

    async def loaded(seconds: float) -> None:
        nonlocal done
        done = await customers.at_rate(work, load[0], seconds)
        await asyncio.sleep(settle)

    used, took = await _cpu(running, loaded, load[1])
    return {name: max(0.0, (used[name] - idle[name]) * took / done) for name in used}, done


async def _orders(
    running: Running, everybody: list[customers.Customer], idle: dict[str, float]
) -> tuple[dict[str, float], dict[str, float], dict[str, float], dict[str, float]]:
    traces = [secrets.token_hex(16) for _ in range(int(4 * ORDERS[0] * ORDERS[1]))]
    placed: list[str] = []
    before, since = await _written(running), time.time()

    async def one(number: int) -> None:
        placed.append(await customers.place(everybody[number % len(everybody)], traces[number]))

    used, done = await _each(running, idle, one, ORDERS, SETTLE)
    after = await _written(running)
    telemetry = running.state / "data/telemetry"
    found = traced.spans_of(telemetry, traces[:done])
    counts = traced.counts(found) | {name: (after[name] - before[name]) / done for name in before}
    recorded = traced.recorded(telemetry, since)
    counts |= {"spans": sum(recorded.values()) / done, "spans of order-service": recorded["order-service"] / done}
    counts |= {"orders measured": done, "orders traced to the end": len(found)}
    serial = traced.serial(found)
    return used, counts, serial, await _saga_seconds(running, placed)


async def _others(
    running: Running, everybody: list[customers.Customer], idle: dict[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    orders = await customers.one_each(everybody)
    await asyncio.sleep(SETTLE / 2)

    async def read(number: int) -> None:
        at = number % len(everybody)
        (await everybody[at].http.get(f"/api/orders/{orders[at]}")).raise_for_status()

    async def sign_in(number: int) -> None:
        one = everybody[number % len(everybody)]
        await customers.sign_in(one.http, one.email, one.password)

    reads, _ = await _each(running, idle, read, READS, 2.0)
    sign_ins, _ = await _each(running, idle, sign_in, SIGN_INS, 2.0)
    return reads, sign_ins


async def _written(running: Running) -> dict[str, float]:
    """What was written so far: the log of PostgreSQL, the streams, the logs, domain events."""
    connection = await asyncpg.connect(running.secret("postgres-orders.url"))
    wal = await connection.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
    flushes = await connection.fetchval("SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'")
    events = await connection.fetchval("SELECT count(*) FROM events")
    await connection.close()
    client = await nats.connect(running.secret("nats.url"))
    streams = [await client.jetstream().stream_info(name) for name in ("orders", "notifications")]
    await client.close()
    return {
        "bytes of PostgreSQL's log": float(wal),
        "flushes of PostgreSQL's log": float(flushes),
        "domain events": float(events),
        "messages in streams": float(sum(each.state.messages for each in streams)),
        "bytes in streams": float(sum(each.state.bytes for each in streams)),
        "log lines": float(sum(file.read_bytes().count(b"\n") for file in (running.state / "logs").glob("*.log"))),
        "bytes of telemetry": float(running.data_bytes("telemetry")),
    }


async def _saga_seconds(running: Running, placed: list[str]) -> dict[str, float]:
    """Seconds from placed to confirmed, by the order service's own clock."""
    connection = await asyncpg.connect(running.secret("postgres-orders.url"))
    rows = await connection.fetch(
        "SELECT extract(epoch FROM max(recorded_at) - min(recorded_at))::float8 AS seconds FROM events"
        " WHERE stream = ANY($1) GROUP BY stream",
        [f"order-{order}" for order in placed],
    )
    await connection.close()
    seconds = [row["seconds"] for row in rows]
    assert len(seconds) == len(placed), "each order has its stream"
    rate = {"orders a second, measured at": ORDERS[0]}
    return rate | {
        "placed to confirmed, p50": quantile(seconds, 0.5),
        "placed to confirmed, p99": quantile(seconds, 0.99),
    }


async def _limits(running: Running) -> dict[str, float]:
    limits = await servers.commits(running.secret("postgres-orders.url"))
    limits |= await servers.publishes(running.secret("nats.url"), 1)
    async with servers.cluster() as url:
        limits |= await servers.publishes(url, 3)
    limits["Envoy's own answers a CPU-second"] = await servers.trivial_route()
    return limits


def _script(name: str, service: Path, *arguments: str, **environment: str) -> dict[str, float]:
    """Run one of the scripts beside this file with a rendered service's code."""
    path = os.pathsep.join((str(service / "src"), str(service.parent / "chassis/src")))
    command = (*BACKGROUND, sys.executable, str(Path(__file__).with_name(name)), *arguments)
    told = subprocess.check_output(command, env={**os.environ, **environment, "PYTHONPATH": path}, cwd="/")
    figures: dict[str, float] = json.loads(told)
    return figures


def _projections(running: Running) -> dict[str, float]:
    url = running.secret("postgres-orders.url")
    told = _script("projection.py", running.source / "order-service", DATABASE_URL=url)
    return {f"projection of {name}, an event": seconds for name, seconds in told.items()}


def _warehouse(running: Running) -> dict[str, float]:
    return _script("warehouse.py", running.source / "data-pipeline", *SIZES)
