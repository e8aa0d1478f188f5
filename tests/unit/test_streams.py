"""Standard output and error: what a stream that breaks, stalls or lacks a character does to what writes there."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Iterator
from typing import Self, TextIO

import pytest

from stepflow.cli import failure
from stepflow.cli.reporters.display import Display
from stepflow.cli.streams import Outlet, StdoutError, prepare
from stepflow.events import Event, Notice, Output, RunFinished, StepFinished, Waiting

TEXT = "é « 二 😀 → \udcff"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for each in (reading, writing):
        try:
            os.close(each)
        except OSError:
            continue


def prepared(encoding: str) -> tuple[TextIO, TextIO]:
    """Return stdout and stderr as the command line puts them in place where their encoding is another."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("stdout", "stderr"):
            patched.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding))
        prepare()
        return sys.stdout, sys.stderr


class Recorder:
    """A reporter that keeps what it is told, and may fail at an event."""

    def __init__(self, fails_at: type[Event] | None = None) -> None:
        self.heard: list[Event] = []
        self.ended = False
        self._fails_at = fails_at

    def __call__(self, event: Event) -> None:
        self.heard.append(event)
        if self._fails_at and isinstance(event, self._fails_at):
            raise KeyError(7)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_lacks_is_escaped_so_that_json_means_the_same(encoding: str) -> None:
    out, err = prepared(encoding)
    assert (out.encoding, err.encoding, err.errors) == (encoding, encoding, out.errors)
    shown = json.dumps(TEXT, ensure_ascii=False).encode(encoding, out.errors).decode(encoding)
    assert json.loads(shown) == TEXT
    assert "\\ud83d\\ude00" in shown or encoding == "utf-8"


def test_first_error_of_a_stream_is_told_once_and_what_comes_later_is_dropped(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    told: list[int | None] = []
    outlet = Outlet(writing, lambda error: told.append(error.errno), patience=0)
    assert outlet.write(b"seen") == 4
    assert os.read(reading, 10) == b"seen"
    os.close(reading)
    assert [outlet.write(b"unseen"), outlet.write(b"unseen")] == [6, 6]
    outlet.drain()
    assert (told, outlet.unread) == ([errno.EPIPE], True)


def test_what_a_reader_does_not_take_waits_for_it_and_comes_whole_and_in_order(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outlet = Outlet(writing, lambda error: pytest.fail(str(error)), patience=0)
    sent = [f"{number:>1000}\n".encode() for number in range(500)]
    for each in sent:
        outlet.write(each)
    assert outlet.unread
    taken = b""
    while outlet.unread:
        taken += os.read(reading, 65536)
        outlet.drain(0)
    os.close(writing)
    with os.fdopen(reading, "rb", closefd=False) as rest:
        taken += rest.read()
    assert taken == b"".join(sent)


def test_terminal_is_opened_once_more_and_left_as_it_is() -> None:
    master, slave = os.openpty()
    try:
        outlet = Outlet(slave, lambda error: pytest.fail(str(error)), patience=0)
        for _ in range(100):
            outlet.write(b"x" * 4096)
        assert outlet.unread
        assert os.get_blocking(slave)
        outlet.close()
        assert os.isatty(slave)
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (errno.EPIPE, 1, ""),
        (errno.EIO, 1, ""),
        (
            errno.ENOSPC,
            3,
            "error: stdout cannot be written: no space left on device\nhint: free some space, then run it again\n",
        ),
        (errno.EBADF, 3, "error: stdout cannot be written: bad file descriptor\nhint: send it to a file\n"),
    ],
)
def test_command_that_only_prints_ends_when_stdout_breaks(
    number: int, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failure.report(StdoutError(OSError(number, os.strerror(number))), []) == code
    assert capsys.readouterr().err == said


def test_reporter_that_fails_is_ended_and_told_of_once_and_nothing_is_raised() -> None:
    reporter, failed = Recorder(fails_at=Output), list[Exception]()
    with Display(reporter, lambda: False, failed.append) as display:
        for event in (Notice("one"), Output(1, "two"), Notice("three"), RunFinished("succeeded", 1.0)):
            display(event)
    assert reporter.heard == [Notice("one"), Output(1, "two")]
    assert reporter.ended
    assert [repr(each) for each in failed] == ["KeyError(7)"]


def test_output_is_left_out_while_nothing_reads_it_and_counted_when_something_does() -> None:
    reporter, unread = Recorder(), True
    with Display(reporter, lambda: unread, pytest.fail) as display:
        for event in (Output(1, "a"), Waiting(1, "b"), Output(1, "c"), StepFinished(1, "done")):
            display(event)
        unread = False
        display(Output(2, "d"))
    assert reporter.heard == [
        StepFinished(1, "done"),
        Notice("2 lines of output left out, since nothing read them; the logs have them"),
        Output(2, "d"),
    ]


def test_display_that_failed_is_reported_as_a_bug(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(str(tmp_path))
    failure.display_failed(KeyError(7))
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: the display of the run failed: KeyError: 7; the run goes on without it"
    assert second.startswith("hint: this is a bug; the report to send is `.stepflow/crash_reports/")
