"""The reports: parameterised queries over the marts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from service.warehouse import rows_of

FIRST, LAST = date(1970, 1, 1), date(9999, 12, 31)


@dataclass(frozen=True, slots=True)
class Report:
    """A report: its description, the columns of its rows, its query over `$from`, `$to`, `$test` and `$limit`."""

    name: str
    summary: str
    columns: tuple[str, ...]
    query: str


REPORTS = {
    report.name: report
    for report in (
        Report(
            "daily-revenue",
            "Confirmed orders and their revenue in minor units, by day (UTC) and currency.",
            ("day", "currency", "orders", "revenue"),
            """SELECT day, currency, orders, revenue FROM marts.daily_revenue
               WHERE day BETWEEN $from AND $to AND test = $test ORDER BY day, currency LIMIT $limit""",
        ),
        Report(
            "top-products",
            "What sold best, by revenue in minor units.",
            ("sku", "name", "currency", "quantity", "revenue"),
            """SELECT sku, any_value(name) AS name, currency, sum(quantity)::BIGINT AS quantity,
                   sum(revenue)::BIGINT AS revenue
               FROM marts.product_sales WHERE day BETWEEN $from AND $to AND test = $test
               GROUP BY sku, currency ORDER BY revenue DESC, sku, currency LIMIT $limit""",
        ),
        Report(
            "order-funnel",
            "How many of the orders placed in these days reached each stage.",
            ("stage", "orders"),
            """SELECT stage, coalesce(sum(orders), 0)::BIGINT AS orders
               FROM (VALUES (1, 'placed'), (2, 'stock-reserved'), (3, 'payment-authorized'), (4, 'confirmed'),
                            (5, 'cancelled')) AS stages (position, stage)
               LEFT JOIN (FROM marts.order_funnel WHERE day BETWEEN $from AND $to AND test = $test) USING (stage)
               GROUP BY stage, position ORDER BY position LIMIT $limit""",
        ),
        Report(
            "user-growth",
            "Users who registered and left, by day (UTC), and how many there were at its end.",
            ("day", "registered", "deleted", "total"),
            """SELECT day, registered, deleted, total FROM marts.user_growth
               WHERE day BETWEEN $from AND $to AND test = $test ORDER BY day LIMIT $limit""",
        ),
        Report(
            "notification-outcomes",
            "Messages sent and failed, by day (UTC) and channel.",
            ("day", "channel", "outcome", "messages"),
            """SELECT day, channel, outcome, messages FROM marts.notification_outcomes
               WHERE day BETWEEN $from AND $to AND test = $test ORDER BY day, channel, outcome LIMIT $limit""",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Span:
    """The days that a report covers, both included, how many rows it gives at most, and whether it is about test
    accounts instead of all others.
    """

    first: date = FIRST
    last: date = LAST
    limit: int = 1000
    test: bool = False

    def parameters(self) -> dict[str, Any]:
        """Return the values of a query's parameters."""
        return {"from": self.first, "to": self.last, "limit": self.limit, "test": self.test}


def rows(connection: duckdb.DuckDBPyConnection, report: Report, span: Span) -> list[dict[str, Any]]:
    """Run a report."""
    return rows_of(connection, report.query, span.parameters())
