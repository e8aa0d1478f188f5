"""Content negotiation and files."""

from typing import Any

import pytest

from service.formats import CSV, JSON, PARQUET, as_csv, preferred


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/csv", CSV),
        ("text/*", CSV),
        ("TEXT/CSV; charset=utf-8", CSV),
        ("application/*;q=0.2, text/csv;q=0.9", CSV),
        ("application/json;q=0.5, application/vnd.apache.parquet", PARQUET),
        ("application/json;q=0, */*;q=0.1", CSV),
        ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),
        ("text/html", None),
        ("application/json;q=0", None),
        ("application/json;q=much", None),
    ],
)
def test_the_accept_header_chooses(accept: str, media: str | None) -> None:
    assert preferred(accept) == media


def test_csv_is_quoted_and_does_not_start_formulas() -> None:
    rows: list[dict[str, Any]] = [{"sku": "A,1", "name": 'say "x"', "n": -5}, {"sku": "=1+1", "name": None, "n": 2}]
    assert as_csv(("sku", "name", "n"), rows).decode() == 'sku,name,n\r\n"A,1","say ""x""",-5\r\n\'=1+1,,2\r\n'
