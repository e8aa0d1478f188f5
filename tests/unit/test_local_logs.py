"""Logs stay in bounds and are read from their end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepflow.targets.local.logs import follow, rotate, tail


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(st.characters(categories=("L", "N")), max_size=400), max_size=600), st.integers(0, 30))
def test_the_tail_is_the_end_of_the_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], count: int
) -> None:
    log = tmp_path_factory.getbasetemp() / "tail.log"
    log.write_text("".join(f"{line}\n" for line in lines))
    assert tail(log, count) == (lines[-count:] if count else [])


def test_the_tail_shows_nothing_that_was_written_before_an_offset(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\nafter\n")
    assert tail(log, 10, offset=7) == ["after"]
    assert tail(log, 10, offset=70) == ["before", "after"]  # it was truncated since
    assert tail(tmp_path / "none", 10) == []


def test_a_log_that_is_too_large_is_moved_aside_and_the_oldest_file_goes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("a") as writer:  # as a process that goes on writing
        for round_ in range(5):
            writer.write(f"{round_}\n" * 10)
            writer.flush()
            rotate(log, largest=20, kept=2)
        writer.write("last\n")
        writer.flush()
    assert log.read_text() == "last\n"
    assert (tmp_path / "log.1").read_text() == "4\n" * 10
    assert (tmp_path / "log.2").read_text() == "3\n" * 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a\n")
    rotate(log, largest=20)
    rotate(tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


async def test_new_lines_are_followed_whole_and_across_a_truncation(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old\n")
    lines = follow({"users-1": log})
    coming = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    with log.open("a") as writer:
        writer.write("half")
        writer.flush()
        await asyncio.wait({coming}, timeout=0.3)
        assert not coming.done()
        writer.write(" and whole\n")
        writer.flush()
        assert await coming == ("users-1", "half and whole")
        rotate(log, largest=1)
        writer.write("x\n")
        writer.flush()
        assert await anext(lines) == ("users-1", "x")
    await lines.aclose()
