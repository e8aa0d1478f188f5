"""Real processes, killed with SIGKILL at random moments and started again: everything adds up in the end."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx2
import pytest
from order_fixtures import KEY, Json

from chassis.testing.servers import free_port
from chassis.testing.waiting import eventually

ROOT = Path(__file__).parents[1]
SKU, ORDERS, KILLS = "IDEMPOTENT-MUG", 40, 6
PAYMENTS = ("tok_ok", "tok_ok", "tok_ok", "tok_declined", "tok_slow", "tok_error")


@dataclass
class Process:
    """One workload as a target runs it."""

    module: str
    instance: str
    env: dict[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT.parent / "chassis" / "src")])
        env = os.environ | self.env | {"PYTHONPATH": path, "PORT": str(self.port), "INSTANCE": self.instance}
        with self.log.open("ab") as output:
            command = [sys.executable, "-m", self.module]
            self.child = subprocess.Popen(command, env=env, stdout=output, stderr=output)

    def kill(self) -> None:
        """Kill it with SIGKILL; nothing of it can clean up."""
        assert self.child is not None
        self.child.kill()
        self.child.wait()

    async def ready(self) -> bool:
        assert self.child is not None
        assert self.child.poll() is None, self.log.read_text()[-2000:]
        try:
            async with httpx2.AsyncClient(trust_env=False) as http:
                return (await http.get(f"http://127.0.0.1:{self.port}/health/ready")).status_code == 200
        except httpx2.TransportError:
            return False


@pytest.fixture
def platform(
    settings_env: Json, nats_url: str, database_url: str, payments_url: str, tmp_path: Path
) -> Iterator[Sequence[Process]]:
    """Two replicas of the order service, and the payment provider."""
    del settings_env
    common = {"NATS_URL": nats_url, "PAYMENT_API_KEY": KEY, "HOST": "127.0.0.1", "LOG_LEVEL": "WARNING"}
    orders = common | {"DATABASE_URL": database_url, "PAYMENT_TIMEOUT": "0.5", "PAYMENT_PATIENCE": "4"}
    payments = common | {"DATABASE_URL": payments_url, "SLOW_SECONDS": "0.8"}
    processes = [
        Process("service", "order-service-1", orders, tmp_path / "orders-1.log"),
        Process("service", "order-service-2", orders, tmp_path / "orders-2.log"),
        Process("service.payments", "payment-provider-1", payments, tmp_path / "payments.log"),
    ]
    for process in processes:
        process.start()
    yield processes
    for process in processes:
        process.kill()


async def place(processes: Sequence[Process], token: str, number: int) -> str:
    """Place an order at whichever replica answers, under a key: asking again places no second one."""
    body = {"items": [{"sku": SKU, "quantity": 1}], "payment": {"token": PAYMENTS[number % len(PAYMENTS)]}}
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"order-{number}"}

    async def attempt() -> str:
        replica = secrets.choice(processes[:2])
        try:
            async with httpx2.AsyncClient(trust_env=False, timeout=10) as http:
                answer = await http.post(f"http://127.0.0.1:{replica.port}/api/orders", json=body, headers=headers)
        except httpx2.TransportError:
            return ""
        return str(answer.json()["id"]) if answer.status_code == 202 else ""

    return await eventually(attempt, 120)


@pytest.mark.timeout(600)
async def test_kill_9_of_anything_at_any_time_loses_nothing_and_charges_no_one_twice(
    platform: Sequence[Process], token: Callable[..., str], database_url: str, payments_url: str
) -> None:
    for process in platform:
        await eventually(process.ready, 120)
    signed = token(sub="ada")
    orders = await asyncpg.connect(database_url)
    stock = await _stock(orders)
    placing = asyncio.create_task(_place_all(platform, signed))
    for kill in range(KILLS):
        await _until_placed(orders, (kill + 1) * ORDERS // (KILLS + 2))
        await _a_minute_passes(orders)
        victim = platform[kill % 3]
        victim.kill()
        victim.start()
    await _until_placed(orders, ORDERS)
    placed = await placing
    await eventually(lambda: _all_done(orders), 120)
    statuses = {r["order_id"]: r["status"] for r in await _settled(orders, platform)}
    assert sorted(placed) == sorted(statuses), "an order is lost, or was placed twice"
    assert set(statuses.values()) == {"confirmed", "cancelled"}
    confirmed = {order_id for order_id, status in statuses.items() if status == "confirmed"}
    assert stock - await _stock(orders) == len(confirmed)
    payments = await asyncpg.connect(payments_url)
    rows = await payments.fetch("SELECT order_id FROM payments WHERE status = 'captured'")
    assert Counter(row["order_id"] for row in rows) == Counter(confirmed)
    await orders.close()
    await payments.close()


async def _place_all(processes: Sequence[Process], token: str) -> list[str]:
    return [await place(processes, token, number) for number in range(ORDERS)]


async def _a_minute_passes(orders: asyncpg.Connection) -> None:
    """For keys whose request died with its process: they are refused with 409 until they count as abandoned."""
    await orders.execute(
        "UPDATE idempotency_keys SET created_at = created_at - interval '1 minute'"
        " WHERE status IS NULL AND created_at < now() - interval '1 second'"
    )


async def _until_placed(orders: asyncpg.Connection, count: int) -> None:
    async def enough() -> bool:
        await _a_minute_passes(orders)
        return bool(await orders.fetchval("SELECT count(*) >= $1 FROM sagas", count))

    await eventually(enough, 120)


async def _all_done(orders: asyncpg.Connection) -> bool:
    return bool(await orders.fetchval("SELECT count(*) = 0 FROM sagas WHERE step <> 'done'"))


async def _settled(orders: asyncpg.Connection, platform: Sequence[Process]) -> list[asyncpg.Record]:
    """The read model when it is up to date."""
    for process in platform:
        await eventually(process.ready, 120)

    async def caught_up() -> bool:
        return bool(await orders.fetchval("SELECT min(position) = (SELECT max(position) FROM events) FROM projections"))

    await eventually(caught_up)
    rows: list[asyncpg.Record] = await orders.fetch("SELECT order_id, status FROM order_view")
    return rows


async def _stock(orders: asyncpg.Connection) -> int:
    """What the events say, not the read model."""
    events = await orders.fetch("SELECT type, data FROM events WHERE stream = $1", f"product-{SKU}")
    signs = {"stock-received": 1, "units-released": 1, "units-reserved": -1}
    return sum(signs.get(e["type"], 0) * json.loads(e["data"]).get("quantity", 0) for e in events)
