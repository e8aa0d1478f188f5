"""What commands print: into a log that is bounded, and line by line."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from stepflow.engine import output
from stepflow.engine.output import JobOutput, older


def heard(log: Path, *chunks: bytes, secrets: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    lines: list[str] = []
    warnings: list[str] = []
    printed = JobOutput(log, lines.append, warnings.append, secrets)
    for chunk in chunks:
        printed.hear(chunk)
    printed.end()
    return lines, warnings


def test_lines_are_told_whole_and_the_log_has_all_bytes(tmp_path: Path) -> None:
    log = tmp_path / "logs/01.log"
    assert heard(log, b"on", b"e\ntw", b"o\n\xff", b"end") == (["one", "two", "\ufffdend"], [])
    assert log.read_bytes() == b"one\ntwo\n\xffend"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (log, log.parent)] == [0o600, 0o700]


def test_step_that_prints_nothing_has_no_log(tmp_path: Path) -> None:
    assert heard(tmp_path / "log") == ([], [])
    assert not (tmp_path / "log").exists()


def test_log_that_grows_too_long_is_cut_and_keeps_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "LONGEST_LOG", 20)
    log = tmp_path / "log"
    lines, _ = heard(log, *(b"line %d\n" % number for number in range(10)))
    assert lines == [f"line {number}" for number in range(10)]
    assert older(log).read_text() + log.read_text() == "".join(f"line {number}\n" for number in range(6, 10))


def test_log_that_cannot_be_written_is_told_once_and_the_lines_go_on(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("/dev/full")
    lines, warnings = heard(tmp_path / "log", b"one\n", b"two\n")
    assert lines == ["one", "two"]
    assert warnings == [f"`{tmp_path / 'log'}` cannot be written: No space left on device; what follows is not kept"]


def test_secret_is_masked_in_log_and_lines_also_where_it_came_in_parts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines, _ = heard(log, b"token=hun", b"ter2!\nkey: -BEGIN-", b"\nAAAA\n", secrets=("hunter2!", "-BEGIN-\nAAAA\n"))
    assert lines == ["token=***", "key: ***", "***"]
    assert log.read_text() == "token=***\nkey: ***\n***\n"


def test_line_without_an_end_is_told_in_parts(tmp_path: Path) -> None:
    lines, _ = heard(tmp_path / "log", *[b"x" * 50_000] * 3)
    assert [len(line) for line in lines] == [65_536, 65_536, 18_928]
