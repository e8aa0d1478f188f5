"""The whole service against real NATS, as a process that is killed in the middle: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import httpx2
import nats
from examples import order
from nats.js import JetStreamContext

from chassis.testing import eventually
from chassis.testing.servers import free_port

SOURCES = Path(__file__).parents[1] / "src"
CHASSIS = Path(__file__).parents[2] / "chassis" / "src"
ROUNDS = 3  # kills


@asynccontextmanager
async def jetstream(nats_url: str) -> AsyncIterator[JetStreamContext]:
    connection = await nats.connect(nats_url)
    try:
        yield connection.jetstream()
    finally:
        await connection.close()


@asynccontextmanager
async def process(nats_url: str, folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, httpx2.AsyncClient]]:
    """Run the service as a target does."""
    port = free_port()
    own = {"NATS_URL": nats_url, "PORT": str(port), "WAREHOUSE_DIR": str(folder), "INSTANCE": "t", "DRAIN_SECONDS": "0"}
    env = os.environ | own | {"PYTHONPATH": f"{SOURCES}{os.pathsep}{CHASSIS}"}
    with (folder / "log").open("ab") as log:
        started = await asyncio.create_subprocess_exec(sys.executable, "-m", "service", env=env, stdout=log, stderr=log)
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            yield started, http
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


async def answers(http: httpx2.AsyncClient) -> bool:
    """Return whether the process takes requests."""
    try:
        return (await http.get("/health/ready")).status_code == 200
    except httpx2.TransportError:
        return False


async def loaded(http: httpx2.AsyncClient) -> int:
    """Count what the process has loaded since it started; 0 while it does not answer."""
    try:
        text = (await http.get("/metrics")).text
    except httpx2.TransportError:
        return 0
    lines = [
        line for line in text.splitlines() if line.startswith("pipeline_events_total") and 'outcome="loaded"' in line
    ]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)


async def publish(js: JetStreamContext, first: int, killed: asyncio.Event) -> int:
    """Publish confirmed orders until the kill and one after it, each event twice: the second time so that the stream
    does not notice. Returns the number that follows the last.
    """
    for number in count(first):
        over = killed.is_set()
        payload = order("confirmed", number).encode()
        for _ in range(2):
            await js.publish("orders.v1.confirmed", payload, headers={"Nats-Msg-Id": uuid4().hex})
        if over:
            return number + 1
    raise AssertionError("numbers do not end")


async def kill_while_it_loads(nats_url: str, folder: Path, js: JetStreamContext, first: int) -> int:
    """Start the service, publish orders from number `first` on, and kill it amid them; returns the next number."""
    killed = asyncio.Event()
    async with process(nats_url, folder) as (running, http), asyncio.TaskGroup() as group:
        await eventually(lambda: answers(http), 90)
        published = group.create_task(publish(js, first, killed))
        await eventually(lambda: loaded(http), 90)
        running.send_signal(signal.SIGKILL)
        assert await running.wait() == -signal.SIGKILL
        killed.set()
    return published.result()


async def test_kill_in_the_middle_loses_nothing_and_counts_nothing_twice(
    nats_url: str, token: Callable[..., str], tmp_path: Path
) -> None:
    async with jetstream(nats_url) as js:
        await js.add_stream(name="orders", subjects=["orders.>"])
        expected = 0
        for _ in range(ROUNDS):
            expected = await kill_while_it_loads(nats_url, tmp_path, js, expected)
    headers = {"Authorization": f"Bearer {token(roles=('admin', 'user'))}"}
    async with process(nats_url, tmp_path) as (running, http):

        async def all_counted() -> bool:
            try:
                answer = await http.get("/api/reports/daily-revenue", headers=headers)
            except httpx2.TransportError:
                return False
            rows = answer.json()["rows"] if answer.status_code == 200 else []
            return bool(rows) and rows[0]["orders"] >= expected

        await eventually(all_counted, 90)
        rows = (await http.get("/api/reports/daily-revenue", headers=headers)).json()["rows"]
        assert rows == [{"day": "2026-03-01", "currency": "EUR", "orders": expected, "revenue": expected * 2500}]

        async def up_to_date() -> dict[str, Any]:
            answer: dict[str, Any] = (await http.get("/api/reports/freshness", headers=headers)).json()
            return answer if answer["seconds_behind"] == 0 else {}

        fresh = await eventually(up_to_date)
        assert fresh["failing_tests"] == []
        (orders,) = (each for each in fresh["streams"] if each["stream"] == "orders")
        assert (orders["rows"], orders["duplicates"], orders["pending"]) == (expected, expected, 0)
        running.terminate()
        assert await asyncio.wait_for(running.wait(), 60) == 0
    with duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True) as warehouse:
        assert warehouse.execute("SELECT count(*), count(DISTINCT id) FROM raw.events").fetchone() == (
            expected,
            expected,
        )
