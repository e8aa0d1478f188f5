"""Events of test accounts: loaded and modelled like any other, and in no figure but those that ask for them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import duckdb
import httpx2
import pytest
from examples import NOTIFICATIONS, ORDERS, USERS, arrived, event, order
from test_api import app, http, js, publish

from chassis.events import Event
from chassis.testing import eventually
from service import loading, transform
from service.loading import Arrived, Loaded, Position
from service.reports import REPORTS, Span, rows
from service.transform import shipped
from service.warehouse import Warehouse, rows_of

__all__ = ["app", "http", "js"]
MODELS = shipped()
NOW = datetime.now(UTC)
DAY = NOW.date().isoformat()


def everything(number: int, *, at: datetime = NOW, test: bool = False) -> dict[Position, list[Event]]:
    """Everything that an account does: it registers, orders, gets a mail, and is deleted."""
    user, sent = f"u{number}", {"notification_id": f"n{number}", "channel": "email", "template": "welcome"}
    stages = ("placed", "stock-reserved", "payment-authorized", "confirmed")
    told = {
        USERS: [
            event("users.v1.registered", {"user_id": user, "registered_at": at.isoformat()}),
            event("users.v1.deleted", {"user_id": user}),
        ],
        ORDERS: [order(stage, number, day=DAY) for stage in stages],
        NOTIFICATIONS: [event("notifications.v1.sent", sent)],
    }
    return {stream: [replace(each, time=at, test=test) for each in events] for stream, events in told.items()}


async def load(warehouse: Warehouse, *accounts: dict[Position, list[Event]]) -> list[Loaded]:
    batches = [(stream, arrived(*events)) for account in accounts for stream, events in account.items()]
    return [await warehouse.transaction(partial(_load, *batch)) for batch in batches]


def _load(stream: Position, batch: list[Arrived], connection: duckdb.DuckDBPyConnection) -> Loaded:
    return loading.load(connection, stream, batch)


async def figures(warehouse: Warehouse, *, test: bool = False) -> dict[str, list[dict[str, Any]]]:
    await warehouse.transaction(lambda c: transform.refresh(c, MODELS))
    span = Span(test=test)
    return await warehouse.call(lambda c: {name: rows(c, report, span) for name, report in REPORTS.items()})


async def test_reports_with_test_accounts_are_those_without_them_row_by_row(warehouse: Warehouse) -> None:
    await load(warehouse, everything(1))
    before = await figures(warehouse)
    assert before["daily-revenue"][0]["revenue"] == 2500
    await load(warehouse, everything(2, test=True), everything(3, test=True))
    assert await figures(warehouse) == before


async def test_the_same_reports_about_test_accounts_count_only_them(warehouse: Warehouse) -> None:
    await load(warehouse, everything(1), everything(2, test=True), everything(3, test=True))
    about = await figures(warehouse, test=True)
    assert [(row["orders"], row["revenue"]) for row in about["daily-revenue"]] == [(2, 5000)]
    assert [row["quantity"] for row in about["top-products"]] == [4]
    assert {row["stage"]: row["orders"] for row in about["order-funnel"]}["confirmed"] == 2
    assert [(row["registered"], row["total"]) for row in about["user-growth"]] == [(2, 0)]
    assert [row["messages"] for row in about["notification-outcomes"]] == [2]


async def test_rebuilt_reports_leave_test_accounts_out_too(warehouse: Warehouse) -> None:
    await load(warehouse, everything(1), everything(2, test=True))
    before = await figures(warehouse)
    await warehouse.call(lambda c: c.execute("UPDATE meta.watermark SET models = 'of another version'"))
    assert await figures(warehouse) == before
    assert (await figures(warehouse, test=True))["daily-revenue"][0]["revenue"] == 2500


async def test_what_was_loaded_counts_without_test_accounts(warehouse: Warehouse) -> None:
    marked = everything(2, test=True)
    assert await load(warehouse, marked, marked) == [Loaded(0, 0, 0)] * 6
    query = "SELECT stream, rows, duplicates FROM raw.positions ORDER BY stream"
    counted = await warehouse.call(lambda c: rows_of(c, query))
    assert [tuple(row.values()) for row in counted] == [("notifications", 0, 0), ("orders", 0, 0), ("users", 0, 0)]


async def test_events_of_old_tests_are_deleted_when_new_ones_come_and_no_other(warehouse: Warehouse) -> None:
    long_ago = NOW - timedelta(hours=25)
    person, old = everything(1, at=long_ago), everything(2, at=long_ago, test=True)
    await load(warehouse, person, old)
    before = await figures(warehouse)
    await load(warehouse, everything(3, test=True))
    assert await figures(warehouse) == before
    staged = ("staging.order_events", "staging.order_items", "staging.user_events", "staging.notification_events")
    for table, column in (("raw.events", "id"), *((name, "event_id") for name in staged)):
        ids = await ids_in(warehouse, table, column)
        assert (table, ids & ids_of(old), bool(ids & ids_of(person))) == (table, set(), True)
    assert (await figures(warehouse, test=True))["notification-outcomes"][0]["messages"] == 1


def ids_of(account: dict[Position, list[Event]]) -> set[str]:
    return {each.id for events in account.values() for each in events}


async def ids_in(warehouse: Warehouse, table: str, column: str) -> set[str]:
    found = await warehouse.call(lambda c: rows_of(c, f"SELECT {column} AS id FROM {table}"))  # noqa: S608 - ours
    return {row["id"] for row in found}


@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/vnd.apache.parquet"])
async def test_a_report_is_about_test_accounts_only_when_asked(http: httpx2.AsyncClient, js: Any, accept: str) -> None:  # noqa: ANN401 - a stream
    for account in (everything(1), everything(2, test=True), everything(3, test=True)):
        for events in account.values():
            await publish(js, *((each.type, each.encode()) for each in events))

    async def revenue(query: str) -> int:
        found = (await http.get(f"/api/reports/daily-revenue{query}")).json()["rows"]
        return sum(int(row["revenue"]) for row in found)

    async def both() -> bool:
        return (await revenue("?test=true"), await revenue("")) == (5000, 2500)

    await eventually(both)
    headers = {"Accept": accept}
    asked, plain = [await http.get(f"/api/reports/daily-revenue{q}", headers=headers) for q in ("?test=true", "")]
    assert (asked.status_code, plain.status_code, asked.content == plain.content) == (200, 200, False)
