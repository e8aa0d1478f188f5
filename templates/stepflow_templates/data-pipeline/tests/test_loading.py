"""Loading and models: duplicates count once, rejects are kept with their reason, tests guard what is published."""

import json
from dataclasses import replace
from typing import Any

import duckdb
import pytest
from examples import ORDERS, USERS, arrived, event, order

from chassis.events import Event
from service import loading, transform
from service.loading import Arrived, Loaded
from service.reports import REPORTS, Span, rows
from service.transform import Model, ModelError, TestsFailedError
from service.warehouse import QueryTimeoutError, Warehouse, rows_of

MODELS = transform.shipped()


async def load(warehouse: Warehouse, *events: Event) -> Loaded:
    return await warehouse.transaction(lambda c: loading.load(c, ORDERS, arrived(*events)))


async def report(warehouse: Warehouse, name: str, span: Span = Span()) -> list[dict[str, Any]]:  # noqa: B008 - frozen
    await warehouse.transaction(lambda c: transform.refresh(c, MODELS))
    return await warehouse.call(lambda c: rows(c, REPORTS[name], span))


async def test_an_event_that_comes_twice_counts_once_within_and_between_batches(warehouse: Warehouse) -> None:
    confirmed = order("confirmed")
    assert await load(warehouse, confirmed, confirmed, order("confirmed", 2)) == Loaded(2, 1, 0)
    assert await load(warehouse, confirmed) == Loaded(0, 1, 0)
    (row,) = await report(warehouse, "daily-revenue")
    assert (str(row["day"]), row["currency"], row["orders"], row["revenue"]) == ("2026-03-01", "EUR", 2, 5000)


async def test_rejects_are_kept_with_their_reason_and_do_not_stop_the_rest(warehouse: Warehouse) -> None:
    broken = order("placed", 3)
    broken.data["total"] = "2500"
    messages = [
        *arrived(order("confirmed"), broken),
        Arrived(3, "orders.v1.placed", b"\xff\x00 not json"),
        Arrived(4, "orders.v1.cancelled", order("confirmed", 9).encode()),
    ]
    assert await warehouse.transaction(lambda c: loading.load(c, ORDERS, messages)) == Loaded(1, 0, 3)
    found = await warehouse.call(lambda c: rows_of(c, "SELECT sequence, reason FROM raw.quarantine ORDER BY sequence"))
    assert [row["sequence"] for row in found] == [2, 3, 4]
    assert found[0]["reason"] == "data.total: Input should be a valid integer"
    assert found[1]["reason"].startswith("not a CloudEvent in JSON: ")
    assert found[2]["reason"] == "the type `orders.v1.confirmed` arrived under the subject `orders.v1.cancelled`"
    position = await warehouse.call(lambda c: loading.position(c, "orders"))
    assert position == replace(ORDERS, sequence=4)


@pytest.mark.parametrize(
    "hostile", ["a\x00b", "a\ud800b", "\\u0000", "'; DROP TABLE raw.events; --", "\u2028\U0001f600"]
)
async def test_no_text_in_an_event_stops_the_stream(warehouse: Warehouse, hostile: str) -> None:
    confirmed = order("confirmed")
    confirmed.data["items"][0]["name"] = hostile
    strange = replace(confirmed, id=hostile)
    payloads = [
        json.dumps(json.loads(order("confirmed").encode()) | {"data": each.data, "id": each.id})
        for each in (confirmed, strange)
    ]
    odd = json.dumps(json.loads(order("confirmed").encode()) | {"type": hostile})
    messages = [Arrived(n, "orders.v1.confirmed", text.encode()) for n, text in enumerate([*payloads, odd], 1)]
    loaded = await warehouse.transaction(lambda c: loading.load(c, ORDERS, messages))
    assert loaded.rows + loaded.rejects == 3
    assert loaded.rejects >= 1
    assert len(await report(warehouse, "daily-revenue")) <= 1


async def test_a_batch_that_fails_leaves_neither_rows_nor_position(warehouse: Warehouse) -> None:
    def fail_at_the_end(connection: duckdb.DuckDBPyConnection) -> None:
        loading.load(connection, ORDERS, arrived(order("confirmed")))
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        await warehouse.transaction(fail_at_the_end)
    assert await warehouse.call(lambda c: loading.position(c, "orders")) is None
    assert await warehouse.call(lambda c: rows_of(c, "FROM raw.events")) == []


async def test_reports_follow_orders_through_their_stages_and_days(warehouse: Warehouse) -> None:
    first = [order(stage) for stage in ("placed", "stock-reserved", "payment-authorized", "confirmed")]
    await load(warehouse, *first, order("placed", 2), order("confirmed", 2), order("placed", 3, day="2026-03-02"))
    assert [row["revenue"] for row in await report(warehouse, "daily-revenue")] == [5000]
    await load(warehouse, order("cancelled", 2), order("confirmed", 3, day="2026-03-02", price=100, sku="CUP"))
    days = await report(warehouse, "daily-revenue")
    assert [(str(row["day"]), row["orders"], row["revenue"]) for row in days] == [
        ("2026-03-01", 1, 2500),
        ("2026-03-02", 1, 200),
    ]
    products = await report(warehouse, "top-products")
    assert [(row["sku"], row["name"], row["quantity"], row["revenue"]) for row in products] == [
        ("TEA", "Tea", 2, 2500),
        ("CUP", "Cup", 2, 200),
    ]
    funnel = {row["stage"]: row["orders"] for row in await report(warehouse, "order-funnel")}
    assert funnel == {"placed": 3, "stock-reserved": 1, "payment-authorized": 1, "confirmed": 3, "cancelled": 1}


async def test_users_are_counted_by_day(warehouse: Warehouse) -> None:
    events = [
        event("users.v1.registered", {"user_id": f"u{n}", "registered_at": f"2026-03-0{day}T01:00:00Z"})
        for n, day in enumerate([1, 1, 2])
    ]
    gone = event("users.v1.deleted", {"user_id": "u0"})
    await warehouse.transaction(lambda c: loading.load(c, USERS, arrived(*events, gone)))
    growth = await report(warehouse, "user-growth")
    assert [(str(r["day"]), r["registered"], r["deleted"], r["total"]) for r in growth] == [
        ("2026-03-01", 2, 1, 1),
        ("2026-03-02", 1, 0, 2),
    ]


async def test_a_failing_test_keeps_the_published_reports(warehouse: Warehouse) -> None:
    strict = transform.parse(
        "marts.large_orders", "-- test: accepted_values total 2500\nSELECT total FROM marts.orders"
    )
    models = transform.in_order((*MODELS, strict))
    await load(warehouse, order("confirmed"))
    await warehouse.transaction(lambda c: transform.refresh(c, models))
    await load(warehouse, order("confirmed", 2, price=7))
    with pytest.raises(TestsFailedError, match=r"^marts.large_orders: accepted_values total 2500: 1 row$"):
        await warehouse.transaction(lambda c: transform.refresh(c, models))
    kept = await warehouse.call(lambda c: rows(c, REPORTS["daily-revenue"], Span()))
    assert [row["revenue"] for row in kept] == [2500]


async def test_changed_models_are_rebuilt_from_all_events(warehouse: Warehouse) -> None:
    await load(warehouse, order("confirmed"), order("confirmed", 2))
    await warehouse.transaction(lambda c: transform.refresh(c, MODELS))
    extra = Model("staging.ids", "SELECT id FROM raw.new_events", append=True, tests=(), reads=frozenset())
    await warehouse.transaction(lambda c: transform.refresh(c, (*MODELS, extra)))
    assert await warehouse.call(lambda c: c.execute("SELECT count(*) FROM staging.ids").fetchone()) == (2,)
    assert await warehouse.call(lambda c: c.execute("SELECT count(*) FROM staging.order_events").fetchone()) == (2,)


@pytest.mark.parametrize(
    ("sources", "says"),
    [
        ({"marts.a": "FROM marts.b", "marts.b": "FROM marts.a"}, "dependency cycle: "),
        ({"marts.a": "FROM staging.nothing"}, "model marts.a reads `staging.nothing`, which is not a model"),
        (
            {"marts.a": "-- materialized: cube\nSELECT 1"},
            "model marts.a: materialized `cube`; there are `table` and `append`",
        ),
        (
            {"marts.a": "-- test: positive x\nSELECT 1 AS x"},
            "model marts.a: test `positive x` is none of accepted_values",
        ),
    ],
)
def test_wrong_models_are_refused_by_name(sources: dict[str, str], says: str) -> None:
    with pytest.raises(ModelError) as caught:
        transform.in_order(transform.parse(name, text) for name, text in sources.items())
    assert str(caught.value).startswith(says)


async def test_a_query_that_takes_too_long_is_interrupted_and_the_next_one_works(warehouse: Warehouse) -> None:
    endless = "SELECT count(*) FROM range(10000000000) a, range(1000) b WHERE a.range % 7 = b.range % 5"
    with pytest.raises(QueryTimeoutError, match=r"not done after 0\.1 s"):
        await warehouse.read(lambda c: c.execute(endless).fetchall(), 0.1)
    assert await warehouse.read(lambda c: c.execute("SELECT 1").fetchall(), 60) == [(1,)]


async def test_the_warehouse_never_downloads_code(warehouse: Warehouse) -> None:
    found = await warehouse.call(
        lambda c: dict(
            c.execute("SELECT name, value FROM duckdb_settings() WHERE name LIKE 'auto%extensions'").fetchall()
        )
    )
    assert found == {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
