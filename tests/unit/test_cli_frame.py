"""The command line's frame: what starting it costs, and how every kind of failure looks."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stepflow import __version__
from stepflow.blame import blaming
from stepflow.cli import COMMANDS, failure, main
from stepflow.errors import Diagnostic, DocumentError, MachineError, Span, UsageError

STEPFLOW = Path(sys.executable).with_name("stepflow")
DOCUMENT = "# One\n\n## Step 1: Go\n- Playbook: shell\n- Prompt: echo hi\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from stepflow.cli import main; main(['--help']); "
        "print([m for m in ('pydantic', 'networkx', 'docker', 'stepflow_playbooks', 'mistune', 'sqlite3', 'asyncio') "
        "if m in sys.modules])"
    )
    alone = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}  # it loads sqlite3
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=alone)
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_that_shows_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert "Example" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "error: no such command `rnu`\nhint: did you mean `run`?"),
        (["run"], "error: missing argument `FILE`\nhint: `stepflow run --help`"),
        (["run", "w.md", "--jbos", "3"], "error: no such option `--jbos`\nhint: did you mean `--jobs` or `--json`?"),
        (["run", "w.md", "--jobs", "0"], "error: `--jobs` / `-j`: `0` should be at least 1\nhint: `stepflow run --h"),
        (["run", "w.md", "--jobs", "x"], "error: `--jobs` / `-j`: `x` should be a whole number\n"),
        (["open", "--port", "70000"], "error: `--port`: `70000` should be at most 65535\n"),
        (["resume", "x"], "error: `RUN`: `x` should be a whole number\n"),
        (["graph", "w.md", "--format", "pdf"], "error: `--format`: `pdf` is not one of `tree`"),
        (["run", "w.md", "a", "b"], "error: `stepflow run` takes no further argument: `a b`\nhint: `stepflow run --h"),
        (["run", "--jobs"], "error: option `--jobs` requires an argument\nhint: `stepflow run --help` lists"),
        (["run", "absent.md"], "error: there is no file `absent.md`"),
        (["status"], "error: there is no platform in this directory\nhint: `stepflow run FILE` creates one"),
        (["run", "w.md", "--name", "../x"], "error: `../x` cannot be the name of a platform\nhint: use at most 48"),
        (["resume", "--name", "shop"], "error: there is no platform in this directory"),
        (["run", "w.md", "--target", "moon"], "error: unknown target `moon`\nhint: one of: local"),
        (["run", "."], "error: `.` is a folder\nhint: name a file: `w.md`"),
        (["doctor", "--target", "moon"], "error: unknown target `moon`\nhint: one of: local"),
    ],
)
def test_wrong_call_says_what_is_wrong_and_ends_with_2(
    arguments: list[str], said: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "w.md").write_text(DOCUMENT, encoding="utf-8")
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(said)


def test_wrong_document_is_shown_with_a_caret_under_each_problem(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = Diagnostic("SF9", "error", Span("w.md", 12, 5, 4), "bad word", "say good", "a = word\tthere")
    bare = Diagnostic("SF8", "warning", Span("w.md", 1), "odd")
    assert failure.report(DocumentError((wrong, bare)), []) == 2
    assert capsys.readouterr().err == (
        "w.md:12:5: error[SF9]: bad word\n"
        " 12 | a = word there\n"
        "    |     ^^^^\n"
        "  hint: say good\n"
        "\n"
        "w.md:1:1: warning[SF8]: odd\n"
        "\n"
        "error: 1 error in the document\n"
    )


def test_lacking_machine_ends_with_3_and_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert failure.report(MachineError("no bash", hint="install it", log="x.log"), []) == 3
    assert capsys.readouterr().err == "error: no bash\nhint: install it\nlog: `x.log`\n"


def test_error_with_a_place_begins_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert failure.report(UsageError("no such step", span=Span("w.md", 3, 7)), []) == 2
    assert capsys.readouterr().err == "error: w.md:3:7: no such step\n"


def test_bug_is_one_line_and_a_report_but_no_traceback(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError) as bug:
        {}["x"]  # it has a traceback
    assert failure.report(bug.value, ["run", "w.md"]) == 1
    said = capsys.readouterr().err
    (report,) = elsewhere.glob(".stepflow/crash_reports/*.txt")
    assert said == (
        "error: stepflow itself failed: KeyError: 'x'\n"
        f"hint: this is a bug; the report to send is `{report.relative_to(elsewhere)}`\n"
    )
    text = report.read_text(encoding="utf-8")
    assert text.startswith("stepflow run w.md\n")
    assert "Traceback (most recent call last):\n" in text
    assert text.endswith("KeyError: 'x'\n")
    assert report.parent.stat().st_mode & 0o777 == 0o700


def test_report_of_a_bug_goes_elsewhere_when_the_directory_may_not_be_written(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / ".stepflow").touch()
    assert failure.report(KeyError("x"), ["run", "w.md"]) == 1
    (path,) = re.findall(r"the report to send is `(.*)`", capsys.readouterr().err)
    report = Path(path)
    try:
        assert report.read_text(encoding="utf-8").startswith("stepflow run w.md\n")
        assert report.stat().st_mode & 0o777 == 0o600
    finally:
        report.unlink()


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EACCES, "make it readable and writable for your account, then run the same command again"),
        (errno.EROFS, "make it readable and writable for your account, then run the same command again"),
        (errno.EISDIR, "move it away, then run the same command again"),
    ],
)
def test_file_that_cannot_be_used_is_not_a_bug(number: int, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = os.strerror(number)
    assert failure.report(OSError(number, said, "state/id"), []) == 3
    assert capsys.readouterr().err == f"error: `state/id`: {said}\nhint: {hint}\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            MemoryError(),
            "error: there is not enough memory\nhint: free some, or raise the limit that `ulimit -v` shows\n",
        ),
        (
            OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
            "error: Too many open files\nhint: `ulimit -n 4096` allows more open files\n",
        ),
        (
            OSError(errno.EFBIG, os.strerror(errno.EFBIG), "a"),
            "error: `a`: File too large\nhint: `ulimit -f unlimited` lifts the limit of a file's size\n",
        ),
    ],
)
def test_limit_of_the_machine_is_not_a_bug_also_where_a_plugin_meets_it(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(type(error)) as raised, blaming("playbook", "x", "to render"):
        raise error
    assert failure.report(raised.value, []) == 3
    assert capsys.readouterr().err == said


def test_error_in_a_thread_is_reported_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module, name in ((threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    failure.show_no_traceback(interrupted=lambda: None)
    thread = threading.Thread(target=lambda: {}["x"])
    thread.start()
    thread.join()
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: stepflow itself failed: KeyError: 'x'"
    assert second.startswith("hint: this is a bug; the report to send is `.stepflow/crash_reports/")


def test_shell_completion_that_is_not_offered_is_not_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_STEPFLOW_COMPLETE", "complete_bash")
    test_version_is_printed(capsys)


@pytest.mark.parametrize("columns", ["0", "1", "-1", "abc", "9" * 20])
def test_document_is_shown_whatever_the_terminal_says_of_its_width(
    columns: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "w.md").write_text(DOCUMENT, encoding="utf-8")
    monkeypatch.setenv("COLUMNS", columns)
    for command in ("show", "graph", "plan", "run", "logs"):
        assert main([command, *(["w.md"] if command != "logs" else ["1"])]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count in other blocks")
def test_run_that_cannot_begin_its_record_leaves_no_platform(elsewhere: Path) -> None:
    (elsewhere / "w.md").write_text(DOCUMENT, encoding="utf-8")
    line = ["bash", "-c", f"ulimit -f 1; '{STEPFLOW}' run w.md"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "error: the journal `.stepflow/one/journal.db` cannot be used: disk I/O error\n"
        "hint: free some space if the disk is full, then type the same again\n"
    )
    assert not (elsewhere / ".stepflow/one").exists()


def test_working_directory_that_was_removed_is_said(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = elsewhere / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    try:
        for arguments in (["status"], ["run", "w.md"], ["plan", "w.md"], ["down"]):
            assert main(arguments) == 3
            assert capsys.readouterr().err == (
                "error: the working directory does not exist any more\n"
                "hint: `cd` into one that exists: `cd ..`, or `cd` alone\n"
            )
    finally:
        os.chdir(elsewhere)


def test_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stepflow.cli.application.build", interrupted)
    assert main(["runs"]) == 130


def test_reader_that_leaves_early_is_not_an_error() -> None:
    command = f"'{STEPFLOW}' --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=True)
    assert done.stderr == ""


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"stepflow {__version__}\n"


def test_commands_ask_which_platform_is_meant_where_there_are_two(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "w.md").write_text(DOCUMENT, encoding="utf-8")
    assert main(["run", "w.md", "--name", "one"]) == 0
    assert main(["runs"]) == 0
    assert main(["run", "w.md", "--name", "two"]) == 0
    capsys.readouterr()
    assert main(["runs"]) == 2
    expected = "error: there are 2 platforms in this directory\nhint: say which: `--name one`, `--name two`\n"
    assert capsys.readouterr().err == expected
    assert main(["logs", "1", "--name", "two"]) == 0
    assert capsys.readouterr().out == "hi\n"


def test_plan_and_dry_run_change_nothing(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (elsewhere / "w.md").write_text(DOCUMENT, encoding="utf-8")
    assert main(["plan", "w.md"]) == 0
    planned = capsys.readouterr().out
    assert main(["run", "w.md", "--dry-run"]) == 0
    assert capsys.readouterr().out == planned
    assert "  1 Go " in planned
    assert [path.name for path in elsewhere.iterdir()] == ["w.md"]


def test_resume_refuses_to_run_a_step_again_that_is_to_stay_as_it_is(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "w.md").write_text(DOCUMENT, encoding="utf-8")
    main(["run", "w.md"])
    capsys.readouterr()
    assert main(["resume", "--from", "1", "--accept-unchanged", "1"]) == 2
    assert capsys.readouterr().err == (
        "error: step 1 is both to run again (`--from`) and to stay as it is (`--accept-unchanged`)\n"
        "hint: leave one of the two out\n"
    )


def test_resume_of_a_run_or_step_that_is_not_there_names_it(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "w.md").write_text(DOCUMENT, encoding="utf-8")
    main(["run", "w.md"])
    capsys.readouterr()
    assert main(["resume", "9"]) == 2
    assert capsys.readouterr().err == "error: `one` has no run 9\nhint: `stepflow runs` lists them\n"
    assert main(["resume", "--from", "4"]) == 2
    assert capsys.readouterr().err == "error: there is no step 4\nhint: one of: 1\n"
    assert main(["resume", "--from", "1", "--plan"]) == 0
    assert "      asked for\n" in capsys.readouterr().out


def test_step_0_is_the_cause_of_what_is_skipped_only_where_it_failed(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(relies: str, *jobs: str) -> None:
        said = ("no", relies, relies)
        steps = (
            f"\n## Step {number}\n- Playbook: shell\n- RelyPreviousStep: {said[number]}\n- Prompt: {job}\n"
            for number, job in enumerate(jobs)
        )
        (elsewhere / "w.md").write_text(f"# Zero\n{''.join(steps)}", encoding="utf-8")

    write("no", "true", "exit 4", "true")
    assert main(["run", "w.md", "--fail-fast", "--jobs", "1"]) == 1
    assert "skipped: step 2, because the run ended\n" in capsys.readouterr().err
    write("Step 0", "exit 3", "true", "true")
    assert main(["run", "w.md"]) == 1
    assert "skipped: step 2, because step 0 failed\n" in capsys.readouterr().err


def test_logs_of_a_step_that_printed_nothing_since_it_was_repaired_name_the_log_of_the_failure(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "w.md").write_text(DOCUMENT.replace("echo hi", "echo why; exit 3"), encoding="utf-8")
    assert main(["run", "w.md"]) == 1
    (elsewhere / "w.md").write_text(DOCUMENT.replace("echo hi", "true"), encoding="utf-8")
    assert main(["run", "w.md"]) == 0
    capsys.readouterr()
    assert main(["logs", "1"]) == 0
    out, err = capsys.readouterr()
    there = ".stepflow/one/logs/01-go-run1.log"
    assert (out, err) == ("", f"hint: step 1 printed nothing in run 2; what it printed in run 1 is in `{there}`\n")
    assert Path(there).read_text(encoding="utf-8") == "why\n"


def test_logs_are_listed_without_a_name_and_none_of_their_lines_is_printed_for_0(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "w.md").write_text(DOCUMENT, encoding="utf-8")
    main(["run", "w.md"])
    capsys.readouterr()
    assert [main(["logs"]), main(["logs", "1", "-n", "1"]), main(["logs", "1", "-n", "0"])] == [0, 0, 0]
    assert capsys.readouterr() == ("1 (a step)\nhi\n", "")
