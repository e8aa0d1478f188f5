"""What people and programs see of the same events."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from stepflow.cli import main
from stepflow.cli.reporters.lines import Lines, Ndjson
from stepflow.cli.reporters.live import LiveView
from stepflow.cli.terminal import clean, duration
from stepflow.events import (
    Checked,
    Event,
    Notice,
    Outcome,
    Output,
    PhaseStarted,
    Retrying,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    Waiting,
)

LONG = "GET http://127.0.0.1:41234/health/ready: 503 migrations are running, the database is not there yet"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be typed names the platform where there are several in the directory; here there is none."""
    monkeypatch.chdir(tmp_path)


BEGIN: tuple[Event, ...] = (
    RunStarted(
        3,
        "shop",
        "local",
        ((1, "Discovery", "run", ()), (2, "A service with a long title", "run", (1,)), (3, "", "run", (2,))),
        "the plan\n",
    ),
    StepStarted(1, "run", ("first run",)),
    PhaseStarted(1, "deploy", "gateway"),
    Waiting(1, "`gateway` to be ready"),
    Waiting(1, "`gateway` to be ready", LONG, 4.5),
    Waiting(1, "`gateway` to be ready", "another answer", 4.0),
    Retrying(1, "connection refused", 0.51, 2),
    Output(1, "\x1b[31mred\x1b[0m\tand\r a bell\x07"),
    Checked(1, "routes answer", passed=True, evidence="200 OK"),
    StepFinished(1, "done", 1.23, ("first run",)),
    StepStarted(2, "rerun", ("field `Replicas` changed 1 -> 2",)),
    PhaseStarted(2, "verify", "answers"),
)
END: tuple[Event, ...] = (
    Checked(2, "answers", passed=False, evidence="it answers 500"),
    Notice("you edited `a.py`: your text is kept", 2),
    StepFinished(2, "failed", 61, (), "check `answers` failed: it answers 500", "look", "/x/2.log", ("last words",)),
    StepFinished(3, "skipped", because=2),
    RunFinished("failed", 63.4, (Outcome("Peace", "not verified", ("no check speaks of it",)),), {}, "stepflow resume"),
)


def lines(*events: Event, show_plan: bool = False) -> tuple[list[str], list[str]]:
    out, err = io.StringIO(), io.StringIO()
    with Lines(out, err, show_plan=show_plan) as reporter:
        for event in events:
            reporter(event)
    return out.getvalue().splitlines(), err.getvalue().splitlines()


def live(*events: Event, width: int = 80, height: int = 30) -> tuple[LiveView, Console]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    view = LiveView(console=console)
    for event in events:
        view(event)
    return view, console


def drawn(view: LiveView, console: Console) -> list[str]:
    with console.capture() as captured:
        console.print(view)
    return captured.get().splitlines()


def test_plain_lines_say_everything_once_and_failures_go_to_stderr() -> None:
    out, err = lines(*BEGIN, *END)
    assert out == [
        "run 3 of `shop` on local, 3 steps",
        "step 1 (Discovery): run: first run",
        "step 1 (Discovery): deploy: gateway",
        f"step 1 (Discovery): waits for `gateway` to be ready: {LONG}",
        "step 1 (Discovery): try 2 in 0.5 s: connection refused",
        "  1 | red     and a bell",
        "step 1 (Discovery): check `routes answer` ok: 200 OK",
        "step 1 (Discovery): done in 1.2 s",
        "step 2 (A service with a long title): rerun: field `Replicas` changed 1 -> 2",
        "step 2 (A service with a long title): verify: answers",
        "step 2 (A service with a long title): check `answers` failed: it answers 500",
        "step 2 (A service with a long title): you edited `a.py`: your text is kept",
        "step 2 (A service with a long title): failed in 1 min 1 s",
        "step 3: skipped: step 2 failed",
        "",
        "`shop` failed in 1 min 3 s: 1 done, 1 failed, 1 skipped",
    ]
    assert err == [
        "error: step 2 (A service with a long title) failed: check `answers` failed: it answers 500",
        "  hint: look",
        "  | last words",
        "  log: `/x/2.log`",
        "skipped: step 3, because step 2 failed",
        "hint: `stepflow resume` continues from here",
    ]


def test_lines_are_not_flooded_by_what_changes_quickly_and_say_now_and_then_that_they_still_wait() -> None:
    out, clock = io.StringIO(), iter(range(1000))
    reporter = Lines(out, out, clock=lambda: next(clock))  # each event a second after the one before
    reporter(BEGIN[0])
    for number in range(1, 41):
        reporter(Waiting(1, "image of orders", f"step {number}/40: RUN something"))
    for number in range(10):
        reporter(Waiting(1, ("`orders-1`", "`orders-2`")[number % 2], f"503, try {number}"))
    assert out.getvalue().splitlines()[1:] == [
        "step 1 (Discovery): waits for image of orders: step 1/40: RUN something",
        "step 1 (Discovery): waits for image of orders: step 31/40: RUN something",
        "step 1 (Discovery): waits for `orders-1`: 503, try 0",
        "step 1 (Discovery): waits for `orders-2`: 503, try 3",
        "step 1 (Discovery): waits for `orders-1`: 503, try 6",
        "step 1 (Discovery): waits for `orders-2`: 503, try 9",
    ]


def test_lines_remind_now_and_then_of_what_is_still_waited_for_when_another_line_came_after_it() -> None:
    out, clock = io.StringIO(), iter(range(1000))
    reporter = Lines(out, out, clock=lambda: next(clock))  # each event a second after the one before
    reporter(BEGIN[0])
    reporter(Waiting(1, "`image orders`", "build `image orders`"))
    for _ in range(20):
        reporter(Waiting(1, "`postgres`", "`postgres-0` is being made on its node"))
        reporter(Waiting(1, "`orders`", "0 of 2 ready"))
    assert out.getvalue().splitlines()[1:] == [
        "step 1 (Discovery): waits for `image orders`: build `image orders`",
        "step 1 (Discovery): waits for `postgres`: `postgres-0` is being made on its node",
        "step 1 (Discovery): waits for `orders`: 0 of 2 ready",
        "step 1 (Discovery): waits for `postgres`: `postgres-0` is being made on its node",
    ]


def test_run_that_succeeded_ends_with_its_outcomes_and_where_to_click() -> None:
    outcomes = (
        Outcome("Service mesh", "verified", ("20 requests reached 2 instances",), 3),
        Outcome("Report", "verified", ("the day counts it",), 2),
        Outcome("Peace", "not verified", ("no check speaks of it",)),
    )
    urls = {"gateway": "http://127.0.0.1:8080", "registry": "http://127.0.0.1:8500"}
    begin = RunStarted(3, "shop", "local", ((1, "All", "run", ()),), "")
    finished = RunFinished("succeeded", 17.2, outcomes, urls, credentials=True)
    out, err = lines(begin, StepFinished(1, "done", 17.0), finished)
    assert out[2:] == [
        "",
        "expected outcomes",
        "  ok: Service mesh",
        "      20 requests reached 2 instances",
        "  ok: Report (in run 2)",
        "      the day counts it",
        "  not verified: Peace",
        "      no check speaks of it",
        "",
        "`shop` succeeded in 17 s: 1 done",
        "  open     http://127.0.0.1:8080",
        "  sign in  `stepflow credentials`",
        "  next     `stepflow status`, `stepflow logs NAME`, `stepflow down`",
    ]
    assert err == []


def test_plan_is_shown_before_a_resume() -> None:
    assert lines(BEGIN[0], show_plan=True)[0] == ["the plan", "", "run 3 of `shop` on local, 3 steps"]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_live_view_keeps_each_step_on_one_line_however_narrow(width: int) -> None:
    seen = drawn(*live(*BEGIN, width=width))
    assert len(seen) == 5
    assert max(map(len, seen)) <= width
    assert seen[1].startswith("━━━━━───────────  1/3 steps, ")
    assert [line.split()[:2] for line in seen[2:]] == [["✓", "1"], ["●", "2"], ["·", "3"]]


def test_live_view_shows_phase_time_and_what_the_last_probe_answered() -> None:
    seen = drawn(*live(*BEGIN[:5], width=200))
    assert "deploy" in seen[2]
    assert f"`gateway` to be ready: {LONG}" in seen[2]
    assert seen[3].split()[-2:] == ["after", "1"]


def test_live_view_of_a_build_shows_its_step_at_80_columns() -> None:
    seen = drawn(*live(*BEGIN[:3], Waiting(1, "image of service-discovery", "step 4/11: RUN pip install -r x.lock")))
    assert re.fullmatch(r"●   1 Discovery +  deploy +\d+\.\d s  image of se…: step 4/11: RUN pi…", seen[2])
    assert len(seen[2]) <= 80


def test_live_view_says_which_journey_is_made_when_all_steps_are_over() -> None:
    over = (StepFinished(2, "done", 1.0), StepFinished(3, "done", 1.0))
    seen = drawn(*live(*BEGIN, *over, Waiting(1, "check `an order is confirmed`", "pending")))
    assert re.fullmatch(r"●      verify +\d+\.\d s  check `an order is confirmed`: pending", seen[-1])


def test_live_view_wraps_evidence_under_its_outcome_and_cuts_it_after_two_lines() -> None:
    outcome = Outcome("Service mesh", "verified", (f"traffic is balanced: {'one more word ' * 20}",), 1)
    begin = RunStarted(1, "shop", "local", ((1, "All", "run", ()),), "")
    _, console = live(begin, StepFinished(1, "done", 1.0), RunFinished("succeeded", 1.0, (outcome,)), width=60)
    assert isinstance(console.file, io.StringIO)
    said = [line.rstrip() for line in console.file.getvalue().splitlines()]
    first = said.index("  ✓ Service mesh")
    assert said[first + 1] == "      traffic is balanced: one more word one more word one"
    assert said[first + 2] == "        more word one more word one more word one more …"
    assert said[first + 3] == ""


def test_live_view_of_more_steps_than_lines_shows_those_that_move_and_counts_the_rest() -> None:
    steps = tuple((n, f"Step {n}", "run", ()) for n in range(1, 101))
    view, console = live(RunStarted(1, "wide", "local", steps, ""), StepStarted(77, "run", ()), height=12)
    seen = drawn(view, console)
    assert len(seen) <= 12
    assert any("Step 77" in line for line in seen)
    assert seen[-1] == "   and 95 more steps"


def test_live_view_ends_with_the_same_report_as_the_lines() -> None:
    _, console = live(*BEGIN, *END, width=200)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    out, err = lines(*BEGIN, *END)
    report = said[said.index(out[-1]) :]
    assert report == "\n".join([out[-1], *err, ""])


def test_json_is_one_event_a_line_with_time_and_run() -> None:
    stream = io.StringIO()
    with Ndjson(stream) as reporter:
        for event in (*BEGIN, *END):
            reporter(event)
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {event["run"] for event in told} == {3}
    assert all(event["time"].endswith("Z") for event in told)
    assert told[-1]["outcomes"] == [
        {"text": "Peace", "verdict": "not verified", "evidence": ["no check speaks of it"], "run": 0}
    ]
    assert [event["step"] for event in told if event["event"] == "step_finished"] == [1, 2, 3]


def test_foreign_output_cannot_move_the_cursor_or_change_colours() -> None:
    assert clean("\x1b[2J\x1b]0;title\x07a\x1b[31mb\x00c\x9b") == "abc"


def test_answers_and_errors_of_services_cannot_either_in_any_reporter() -> None:
    evil = "an answer\x1b]52;c;aGk=\x07 with \x1b[2J commands"
    events = (
        *BEGIN,
        Checked(2, "answers", passed=False, evidence=evil),
        Notice(evil, 2),
        StepFinished(2, "failed", 1, (), evil, evil, "/x/2.log", (evil,)),
        RunFinished("failed", 1, (Outcome("Peace", "failed", (evil,)),), {}, "stepflow resume"),
    )
    stream = io.StringIO()
    terminal = Console(file=stream, force_terminal=True, width=80, color_system=None)
    for reporter in (Lines(stream, stream), LiveView(console=terminal)):
        with reporter:
            for event in events:
                reporter(event)
    assert "an answer with  commands" in stream.getvalue()
    assert "\x1b]" not in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()


@pytest.mark.parametrize(("seconds", "said"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (59.4, "59 s"), (185, "3 min 5 s")])
def test_duration_reads_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


TITLE = "Build " + "very " * 250 + "long"
SHORT = TITLE[:99].rstrip() + "…"
TITLED: tuple[Event, ...] = (
    RunStarted(1, "shop", "local", ((1, TITLE, "run", ()),), f"  1 {TITLE} run\n      first run\n"),
    StepStarted(1, "run", ("first run",)),
    StepFinished(1, "failed", 1.0, error="no"),
    RunFinished("failed", 1.0),
)


def test_a_very_long_title_is_shortened_for_people_and_whole_for_programs() -> None:
    out, err, rows = io.StringIO(), io.StringIO(), io.StringIO()
    lines, programs = Lines(out, err, show_plan=True), Ndjson(rows)
    for event in TITLED:
        lines(event)
        programs(event)
    assert out.getvalue().startswith(f"  1 {SHORT} run\n      first run\n")
    assert f"step 1 ({SHORT}): run: first run\n" in out.getvalue()
    assert err.getvalue() == f"error: step 1 ({SHORT}) failed: no\n"
    begun = json.loads(rows.getvalue().splitlines()[0])
    assert begun["steps"][0][1] == TITLE
    assert TITLE in begun["plan"]


def test_a_very_long_title_fits_a_terminal() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None, highlight=False)
    view = LiveView(show_plan=True, console=console)
    with view:
        for event in TITLED:
            view(event)
    assert isinstance(console.file, io.StringIO)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())
    assert "very v…" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("width", [0, 1, 2, 3, 8])
def test_live_view_ends_on_a_terminal_of_any_width(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
    proven = Outcome("Peace", "verified", ("a long sentence of evidence " * 9,), 1)
    end = (StepFinished(1, "done", 1.0), RunFinished("succeeded", 1.0, (proven,)))
    with LiveView(console=console) as view:
        for event in (*TITLED[:2], *end):
            view(event)
    assert "Peace" in console.file.getvalue()  # type: ignore[attr-defined]


def test_plan_shortens_a_very_long_title_too(capsys: pytest.CaptureFixture[str]) -> None:
    Path("w.md").write_text(f"# Shop\n\n## Step 1: {TITLE}\n- Playbook: shell\n- Prompt: true\n", "utf-8")
    assert main(["plan", "w.md"]) == 0
    assert f"  1 {SHORT} run\n      first run\n" in capsys.readouterr().out
