"""What is written can be queried, and is removed when it is old."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from service import log_search, metric_query, red, traces
from service.buckets import bucket_of, milliseconds, quantile
from service.database import open_writer, reader
from service.inserts import Inserts
from service.metric_query import Sample, Statistic, evaluate, histogram_quantile
from service.records import Log, Point, Record, Span
from service.retention import Retention, expire, size
from service.writer import CAPACITY, Writer

NOW_S = 1_800_000_000
NOW = NOW_S * 1_000_000_000
SECOND = 1_000_000_000
TRACE = "a" * 32
SPAN = Span(
    TRACE,
    "1" * 16,
    "",
    "gateway",
    "g-1",
    "ingress",
    "server",
    NOW,
    40_000_000,
    error=False,
    message="",
    attributes={"http.route": "/a"},
    events=(),
)
CHILD = replace(SPAN, span_id="2" * 16, parent="1" * 16, service="orders", name="POST /api/orders", error=True)
LOG = Log(NOW, "orders", "o-1", 9, "INFO", "order 4711 was placed", TRACE, "2" * 16, {"logger": "saga"})
POINT = Point(NOW, "orders", "o-1", "requests_total", "counter", "1", "", {"route": "/a"}, 10.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    open_writer(tmp_path).close()
    return tmp_path


def write(folder: Path, *records: Record) -> None:
    with closing(open_writer(folder)) as connection:
        Inserts(connection).write(records)


def ask(**changes: object) -> traces.TraceSearch:
    return replace(traces.TraceSearch(NOW - SECOND, NOW + SECOND), **changes)  # type: ignore[arg-type]


def found(folder: Path, **changes: object) -> list[str]:
    with reader(folder) as connection:
        return [item["trace_id"] for item in traces.search(connection, ask(**changes))]


def test_trace_is_given_by_its_id_with_parents_and_status(folder: Path) -> None:
    write(folder, SPAN, CHILD)
    with reader(folder) as connection:
        parent, child = traces.trace(connection, TRACE.upper())
        assert traces.trace(connection, "b" * 32) == []
    assert (parent["parent"], child["parent"]) == (None, "1" * 16)
    assert (child["status"], child["duration_ms"], child["start"]) == ("error", 40.0, "2027-01-15T08:00:00.000000Z")


def test_search_finds_by_service_duration_error_and_words(folder: Path) -> None:
    write(folder, SPAN, CHILD)
    assert found(folder) == [TRACE]
    assert found(folder, service="orders", error=True, min_ms=40.0, q="POST") == [TRACE]
    assert found(folder, q="/a") == [TRACE]
    assert found(folder, q=TRACE) == [TRACE]
    for nothing in (
        {"service": "x"},
        {"min_ms": 41.0},
        {"q": "100%"},
        {"q": "_"},
        {"before_ns": NOW},
        {"since_ns": NOW + 1},
    ):
        assert found(folder, **nothing) == [], nothing


def test_summary_names_root_services_and_errors(folder: Path) -> None:
    write(folder, CHILD, SPAN)
    with reader(folder) as connection:
        (summary,) = traces.search(connection, ask())
    assert (summary["service"], summary["services"], summary["errors"]) == ("gateway", ["gateway", "orders"], 1)


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        ("ingress", {"http.method": "POST", "http.url": "http://x:1/api/orders?a=b"}, "POST /api/orders"),
        ("GET", {"http.request.method": "GET", "url.path": "/a"}, "GET /a"),
        ("GET /a/{id}", {"http.request.method": "GET", "url.path": "/a/5"}, "GET /a/{id}"),
        ("saga", {}, "saga"),
    ],
)
def test_span_that_only_says_ingress_is_titled_by_method_and_path(
    name: str, attributes: dict[str, str], expected: str
) -> None:
    assert traces.title(name, attributes) == expected


def test_logs_about_requests_for_telemetry_are_left_out_where_another_service_writes_them(folder: Path) -> None:
    write(folder, SPAN, replace(CHILD, service="own"), LOG, replace(LOG, severity=17), replace(LOG, trace_id=""))
    with reader(folder) as connection:
        shown = log_search.search(connection, log_search.LogSearch(0, (NOW + SECOND, 0), without="own"))
    assert sorted((log["severity"], log["trace_id"]) for log in shown if log["trace_id"]) == [(17, TRACE)]
    assert len(shown) == 2


def test_span_sent_twice_counts_once(folder: Path) -> None:
    write(folder, SPAN, CHILD)
    write(folder, SPAN)
    with reader(folder) as connection:
        view = red.overview(connection, NOW_S - 60, NOW_S + 60)
    assert {service["name"]: (service["requests"], service["errors"]) for service in view["services"]} == {
        "gateway": (1, 0),
        "orders": (1, 1),
    }


def test_map_has_an_edge_where_a_parent_is_in_another_service(folder: Path) -> None:
    handled = replace(CHILD, span_id="3" * 16, parent="2" * 16, service="mail", kind="consumer", error=False)
    write(folder, SPAN, CHILD, handled)
    with reader(folder) as connection:
        edges = red.overview(connection, NOW_S - 60, NOW_S)["edges"]
    assert [(edge["source"], edge["target"], edge["kind"], edge["errors"]) for edge in edges] == [
        ("gateway", "orders", "call", 1),
        ("orders", "mail", "event", 0),
    ]


def test_logs_are_found_by_words_service_severity_and_trace_newest_first(folder: Path) -> None:
    later = replace(LOG, time_ns=NOW + 5, body="order 4712 was declined", severity=17, trace_id="")
    write(folder, LOG, later)

    def bodies(q: str = "", severity: int = 0, trace_id: str = "", service: str = "") -> list[str]:
        wanted = log_search.LogSearch(0, (NOW + SECOND, 0), service, q, trace_id, severity)
        with reader(folder) as connection:
            return [item["message"] for item in log_search.search(connection, wanted)]

    assert bodies() == [later.body, LOG.body]
    assert bodies("order decl") == [later.body]
    assert bodies("saga 4711") == [LOG.body]
    assert bodies(severity=13) == [later.body]
    assert bodies(trace_id=TRACE) == [LOG.body]
    assert bodies(service="nobody") == []


@pytest.mark.parametrize("text", ['"', 'a" OR b', "body:x", "NEAR(a b)", "*", "-", "(", "a AND", "\0", "^a"])
def test_any_text_is_a_question_for_words_and_never_an_error(folder: Path, text: str) -> None:
    write(folder, LOG)
    with reader(folder) as connection:
        log_search.search(connection, log_search.LogSearch(0, (NOW + SECOND, 0), q=text))


def test_metric_is_listed_and_its_rate_comes_from_growth(folder: Path) -> None:
    write(folder, POINT, replace(POINT, time_ns=NOW + 10 * SECOND, value=30.0))
    with reader(folder) as connection:
        (name,) = metric_query.names(connection)
        series = metric_query.series(connection, "requests_total", "", None, (NOW_S, NOW_S + 60))
        with pytest.raises(ValueError, match="`p95` cannot be asked of a counter: ask rate, value"):
            metric_query.series(connection, "requests_total", "", "p95", (NOW_S, NOW_S + 60))
        assert metric_query.series(connection, "nothing", "", None, (0, 1)) is None
    assert (name["name"], name["services"], name["statistics"]) == ("requests_total", ["orders"], ("rate", "value"))
    assert series is not None
    assert series["series"][0]["points"] == [[NOW_S + 10, 2.0]]


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [("rate", [(10, 0.4), (20, 0.2)]), ("mean", [(10, 0.5), (20, 1.0)]), ("p50", [(10, 0.5), (20, 1.0)])],
)
def test_histogram_that_restarts_counts_from_nothing(statistic: Statistic, expected: list[tuple[int, float]]) -> None:
    samples = [Sample(0, 1.0, 2, (2, 0)), Sample(10, 3.0, 6, (6, 0)), Sample(20, 2.0, 2, (2, 0))]
    bounds = (1.0,)
    if statistic == "p50":
        samples[2] = Sample(20, 2.0, 2, (0, 2))
    assert list(evaluate(samples, "histogram", statistic, bounds)) == expected


def test_quantiles_are_interpolated_within_a_bucket() -> None:
    assert histogram_quantile((0, 10, 0), (1.0, 2.0), 0.5) == 1.5
    assert histogram_quantile((0, 0, 4), (1.0, 2.0), 0.5) == 2.0


@pytest.mark.parametrize("milli", [0.0005, 0.3, 1.0, 25.0, 3000.0])
def test_bucket_of_a_duration_ends_within_a_fifth_above_it(milli: float) -> None:
    end = milliseconds(bucket_of(round(milli * 1e6)))
    assert max(milli, 0.001) <= end * 1.000001
    assert end <= max(milli, 0.001) * 1.2
    assert quantile({}, 0.5) is None


def test_old_telemetry_goes_and_recent_stays(folder: Path) -> None:
    old = NOW - 3 * 3600 * SECOND
    write(
        folder,
        SPAN, replace(SPAN, span_id="9" * 16, start_ns=old), replace(SPAN, span_id="8" * 16, start_ns=2**63 - 1),
        LOG, replace(LOG, time_ns=old), POINT, replace(POINT, name="gone", time_ns=old),
    )  # fmt: skip
    with closing(open_writer(folder)) as connection:
        expire(connection, Retention(hours=2, max_bytes=10**9), NOW)
        counts = {t: connection.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in ("spans", "logs", "series")}  # noqa: S608 - names from this line
        matches = connection.execute("SELECT COUNT(*) FROM logs_text WHERE logs_text MATCH 'placed'").fetchone()[0]
    assert counts == {"spans": 1, "logs": 1, "series": 1}
    assert matches == 1


def test_file_that_is_too_large_loses_the_oldest(folder: Path) -> None:
    many = [replace(LOG, time_ns=NOW - n * SECOND, body=f"{n:05d}" * 200) for n in range(2000)]
    write(folder, *many)
    with closing(open_writer(folder)) as connection:
        before = size(connection)
        expire(connection, Retention(hours=1, max_bytes=before // 2), NOW)
        assert size(connection) <= before // 2
        newest, oldest = connection.execute("SELECT MAX(time_ns), MIN(time_ns) FROM logs").fetchone()
    assert newest == NOW
    assert oldest > NOW - 2000 * SECOND


def test_writer_stores_what_is_submitted_before_it_closes(tmp_path: Path) -> None:
    writer = Writer(tmp_path, Retention(1, 10**9))
    writer.start()
    assert all(writer.submit((replace(LOG, time_ns=time.time_ns()),)) for _ in range(50))
    writer.close()
    with reader(tmp_path) as connection:
        assert connection.execute("SELECT COUNT(*) FROM logs").fetchone()[0] == 50


def test_full_queue_takes_no_more(tmp_path: Path) -> None:
    writer = Writer(tmp_path, Retention(1, 10**9))
    assert writer.submit((LOG,) * CAPACITY)
    assert not writer.submit((LOG,))


@pytest.fixture
def locked(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "telemetry.sqlite", isolation_level=None)) as connection:
        yield connection


def test_reader_sees_the_last_commit_while_a_write_is_under_way(folder: Path, locked: sqlite3.Connection) -> None:
    write(folder, LOG)
    locked.execute("BEGIN IMMEDIATE")
    locked.execute("DELETE FROM logs")
    with reader(folder) as connection:
        assert connection.execute("SELECT COUNT(*) FROM logs").fetchone()[0] == 1
