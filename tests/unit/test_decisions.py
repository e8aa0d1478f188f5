"""The decision records are complete, and their index lists them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
TEXT = r"((?:\S.*\n)+)"  # one paragraph
SHAPE = re.compile(
    rf"# (\d{{3}}) (.+)\nStatus: (.+)\n\n## Context\n{TEXT}\n## Decision\n{TEXT}\n## Consequence\n{TEXT}"
)


def test_index_lists_every_record_with_its_title_and_status() -> None:
    index = re.findall(
        r"^\| \[(\d{3})\]\((.+?)\) \| (.+?) \| (.+?) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE
    )
    parts = {file.name: SHAPE.fullmatch(file.read_text("utf-8")) for file in RECORDS}
    assert index == [(made[1], name, made[2], made[3]) for name, made in parts.items() if made]
    assert len(index) == len(RECORDS)


@pytest.mark.parametrize("record", RECORDS, ids=lambda file: file.name[:3])
def test_record_is_a_short_page_in_order(record: Path) -> None:
    text = record.read_text("utf-8")
    assert RECORDS.index(record) + 1 == int(record.name[:3]) == int(text[2:5])
    assert SHAPE.fullmatch(text), "Context, Decision and Consequence, one paragraph each"
    assert len(text.splitlines()) <= 24
    known = {file.name[:3] for file in RECORDS}
    assert set(re.findall(r"(?<![\d,.])0\d\d\b", text)) <= known


def test_links_of_the_records_lead_somewhere() -> None:
    links = [
        (file, link) for file in FOLDER.glob("*.md") for link in re.findall(r"\]\((.+?)\)", file.read_text("utf-8"))
    ]
    assert links
    assert [link for file, link in links if not (file.parent / link).exists()] == []
