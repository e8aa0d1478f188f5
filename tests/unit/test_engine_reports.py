"""An error that may not happen is shown in one sentence, with the traceback in a log."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from stepflow.blame import PluginError
from stepflow.engine.reports import with_report, write_report
from stepflow.errors import PermanentError, StepflowError


def shown(error: Exception, log: Path) -> tuple[str, str, str]:
    told = with_report(error, log)
    assert isinstance(told, PermanentError)
    return told.message, told.hint, told.log


def raised(text: str) -> ValueError:
    """Return an error that has a traceback."""
    with pytest.raises(ValueError, match=re.escape(text)) as caught:
        raise ValueError(text)
    return caught.value


def test_error_of_the_contract_is_shown_as_it_is_without_a_report(tmp_path: Path) -> None:
    error = StepflowError("no", hint="do", log="elsewhere")
    assert with_report(error, tmp_path / "log") is error
    assert list(tmp_path.iterdir()) == []


def test_error_that_blames_a_plugin_gets_a_report(tmp_path: Path) -> None:
    told = with_report(PluginError("its fault", hint="tell its author"), tmp_path / "log")
    assert isinstance(told, PluginError)
    assert (told.message, told.hint, told.log) == ("its fault", "tell its author", str(tmp_path / "log"))
    assert "PluginError: its fault" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EMFILE, "allow more open files with `ulimit -n 4096`, or lower `--jobs`"),
        (errno.EAGAIN, "it has no room for another process: end some, or lower `--jobs`"),
        (errno.EROFS, "it must be writable for your account"),
    ],
)
def test_what_the_machine_lacks_is_said_with_the_file_and_the_remedy_and_is_no_bug(
    tmp_path: Path, number: int, hint: str
) -> None:
    what = os.strerror(number)
    assert shown(OSError(number, what), tmp_path / "log") == (what, hint, "")
    assert shown(OSError(number, what, "/a"), tmp_path / "log") == (f"`/a`: {what}", hint, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (raised("no"), "ValueError: no"),
        (OSError(errno.EIO, "Input/output error"), "OSError: [Errno 5] Input/output error"),
        (OSError("no number"), "OSError: no number"),
    ],
)
def test_any_other_error_is_a_bug_of_stepflow_with_its_traceback_in_the_log(
    tmp_path: Path, error: Exception, said: str
) -> None:
    log = tmp_path / "state/logs/step-1.log"
    assert shown(error, log) == (f"stepflow itself failed: {said}", "this is a bug", str(log))
    assert said in log.read_text()
    assert [path.stat().st_mode & 0o777 for path in (log.parent,)] == [0o700]


def test_report_stands_behind_what_the_log_has_with_its_time_in_any_script(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("built\n")
    assert write_report(raised("Käse \udcff"), log) == str(log)
    first, when, *traceback = log.read_text("utf-8").splitlines()
    assert first == "built"
    assert re.fullmatch(r"\d\d:\d\d:\d\d unexpected error:", when)
    assert (traceback[0], traceback[-1]) == ("Traceback (most recent call last):", "ValueError: Käse \\udcff")


def test_report_that_cannot_be_written_names_no_log(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    assert write_report(raised("no"), tmp_path / "logs/log") == ""
