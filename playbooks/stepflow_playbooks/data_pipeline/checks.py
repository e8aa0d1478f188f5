"""How the data pipeline is verified: a test account places an order, and the report about test accounts counts it.

That is the report of all others, from the same models, with another filter.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from stepflow.errors import PermanentError, TemporaryError
from stepflow.playbook import Check
from stepflow.workload import CheckContext, Live
from stepflow_playbooks.handoffs.data_pipeline import REPORTS
from stepflow_playbooks.journey import (
    ORDER,
    best_stocked,
    http_client,
    place_order,
    register_and_sign_in,
    sign_in_admin,
)

REAL_TIME = ("Real-time data processing",)
OK, UNAUTHORIZED = 200, 401
POLL, CONFIRMED_WITHIN, COUNTED_WITHIN = 0.1, 20.0, 5.0  # seconds


def checks() -> tuple[Check, ...]:
    """Return the checks."""
    return (
        Check("reports require a token", reports_answer),
        Check(
            "the report counts a confirmed order",
            report_counts_an_order,
            proves=REAL_TIME,
            when="run",
            timeout=60,
            needs=ORDER,
        ),
    )


async def reports_answer(live: Live) -> str:
    """The reports answer 401 to a request without a token."""
    url = live.url(REPORTS)
    async with http_client(url) as http:
        guarded = (await http.get(url)).status_code
    if guarded != UNAUTHORIZED:
        raise TemporaryError(f"{url} answers {guarded} without a token")
    return f"{url} requires a token"


async def report_counts_an_order(context: CheckContext) -> str:
    """A test order is confirmed; the day's revenue with test accounts grows by its total within seconds."""
    today = datetime.now(UTC).date().isoformat()  # what older tests left may go while this one counts
    async with sign_in_admin(context) as admin, register_and_sign_in(context, admin) as customer:
        before = await _revenue(admin, today)
        order = await _confirmed(customer)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while (now := await _revenue(admin, today)) < before + order["total"]:
            if loop.time() - begun > COUNTED_WITHIN:
                said = f"the revenue went from {before} to {now}, not by {order['total']} after {COUNTED_WITHIN:g} s"
                raise PermanentError(f"order {order['id']} is not counted: {said}")
            await asyncio.sleep(POLL)
    counted = f"a test order over {order['total']} counts after {loop.time() - begun:.1f} s"
    return f"{counted}: daily-revenue of test accounts {before} is now {now} ({order['currency']}, minor units)"


async def _confirmed(http: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx2 is loaded when a check runs
    path = f"/api/orders/{await place_order(http, await best_stocked(http))}"
    loop = asyncio.get_running_loop()
    deadline = loop.time() + CONFIRMED_WITHIN
    while (order := await _json(http, path))["status"] == "pending":
        if loop.time() > deadline:
            raise TemporaryError(f"{path} is still pending after {CONFIRMED_WITHIN:g} s")
        await asyncio.sleep(POLL)
    if order["status"] != "confirmed":
        raise TemporaryError(f"{path} is {order['status']}: {order.get('reason')}")
    return order


async def _revenue(http: Any, since: str) -> int:  # noqa: ANN401 - likewise
    report = await _json(http, f"{REPORTS.path}/daily-revenue?test=true&from={since}")
    return sum(int(row["revenue"]) for row in report["rows"])


async def _json(http: Any, path: str) -> dict[str, Any]:  # noqa: ANN401 - likewise
    answer = await http.get(path)
    if answer.status_code != OK:
        raise TemporaryError(f"GET {path} answers {answer.status_code}: {answer.text[:160]}")
    body: dict[str, Any] = answer.json()
    return body
