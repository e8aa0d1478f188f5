"""What reporters for people share: the state of a run, built from its events, and the words at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Literal

from stepflow.cli.state import say
from stepflow.cli.terminal import TITLE, clean, duration, short_path, shortened, step_name
from stepflow.events import (
    Event,
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

StepState = Literal["waiting", "running", "done", "reused", "failed", "skipped", "stopped"]

_INDENT = "      "
_NARROWEST = 20  # columns, in which the indent and a word have room
_LINES = 2  # of one check's evidence, where width is scarce


@dataclass(slots=True)
class Row:
    """One step as it is shown."""

    number: int
    title: str
    relies: tuple[int, ...] = ()
    state: StepState = "waiting"
    phase: str = ""
    detail: str = ""  # what is being done, or waited for
    answer: str = ""  # of the last probe
    began: float = 0.0
    seconds: float = 0.0
    finished: StepFinished | None = None

    @property
    def name(self) -> str:
        """The step's name in a sentence."""
        return step_name(self.number, self.title)

    def say(self, detail: str, answer: str = "") -> None:
        """Record what is being done now."""
        self.detail, self.answer = detail, answer

    def elapsed(self) -> float:
        """Return the seconds that the step has taken so far."""
        return time.monotonic() - self.began if self.state == "running" else self.seconds


@dataclass(slots=True)
class Story:
    """The state of a run, built from its events."""

    width: int = TITLE  # of titles
    platform: str = ""
    target: str = ""
    run: int = 0
    began: float = field(default_factory=time.monotonic)
    rows: dict[int, Row] = field(default_factory=dict)
    closing: str = ""  # what is being done once all steps are over
    closing_began: float = 0.0
    last: RunFinished | None = None

    def hear(self, event: Event) -> None:
        """Process an event; reporters show notices and checks themselves."""
        match event:
            case RunStarted():
                self.platform, self.target, self.run = event.platform, event.target, event.run
                shown = {number: shortened(title, self.width) for number, title, *_ in event.steps}
                self.rows = {number: Row(number, shown[number], relies) for number, *_, relies in event.steps}
            case StepStarted():
                row = self.rows[event.step]
                row.state, row.began = "running", time.monotonic()
                row.say("; ".join(event.reasons))
            case PhaseStarted():
                self.rows[event.step].phase = event.phase
                self.rows[event.step].say(event.detail)
            case Waiting():
                self._wait(event)
            case Retrying():
                self.rows[event.step].say(f"try {event.attempt} in {event.delay:.1f} s: {event.reason}")
            case Output() if line := clean(event.line):
                self.rows[event.step].say(line)
            case StepFinished():
                row = self.rows[event.step]
                row.state, row.seconds, row.finished = event.outcome, event.seconds, event
                row.say(event.error.partition("\n")[0] or "; ".join(event.reasons))
                if event.outcome == "skipped":
                    row.say(self.because(row))
            case RunFinished():
                self.last = event
            case _:
                pass

    def _wait(self, event: Waiting) -> None:
        if self.rows[event.step].state == "running":
            self.rows[event.step].say(event.waiting_for, event.answer)
        else:
            self.closing_began = self.closing_began or time.monotonic()
            self.closing = f"{event.waiting_for}: {event.answer}" if event.answer else event.waiting_for

    def because(self, row: Row) -> str:
        """Format why a step was skipped."""
        number = row.finished.because if row.finished else None
        return "the run ended" if number is None else f"step {number} {self.rows[number].state}"

    def over(self) -> list[Row]:
        """List the steps that are over."""
        return [row for row in self.rows.values() if row.state not in {"waiting", "running"}]

    def blocked_by(self, row: Row) -> list[int]:
        """List the steps that a waiting one still waits for."""
        return [n for n in row.relies if n in self.rows and self.rows[n].state not in {"done", "reused"}]


@dataclass(frozen=True, slots=True)
class Look:
    """How outcomes are written: the mark before each, and the columns that its evidence is wrapped to (0: any)."""

    verified: str = "ok:"
    failed: str = "failed:"
    width: int = 0

    def wrap(self, line: str) -> list[str]:
        """Format a line of evidence, indented, as at most two lines where the width is limited."""
        if not self.width:
            return [f"{_INDENT}{line}"]
        after = f"{_INDENT}  "
        return wrap(
            line,
            max(self.width, _NARROWEST),
            initial_indent=_INDENT,
            subsequent_indent=after,
            max_lines=_LINES,
            placeholder=" …",
        )


PLAIN = Look()


def plan_lines(plan: str, titles: Mapping[int, str], width: int = TITLE) -> str:
    """Return a printed plan with long titles shortened; `titles` has them by the steps' numbers."""
    for number, title in titles.items():
        if len(title) > width:
            plan = plan.replace(f"{number:>3} {title}", f"{number:>3} {shortened(title, width)}", 1)
    return plan


def failures(story: Story) -> Iterator[str]:
    """Format the report of what went wrong: root causes first, then what was skipped because of them."""
    failed = [row for row in story.rows.values() if row.state == "failed"]
    for row in failed:
        yield from _failure(row)
    for row in story.rows.values():
        if row.state == "skipped":
            yield f"skipped: {row.name}, because {story.because(row)}"
        elif row.state == "stopped":
            yield f"stopped: {row.name}, in the phase {row.phase or 'render'}"
    for outcome in story.last.outcomes if story.last else ():
        if outcome.verdict == "failed":
            yield f"error: expected outcome not met: {outcome.text}"
            yield from (f"  {line}" for line in outcome.evidence)
    if story.last and story.last.resume:
        yield f"hint: `{story.last.resume}` continues from here"


def closing(story: Story, last: RunFinished, look: Look = PLAIN) -> Iterator[str]:
    """Format the last lines of a run."""
    if (
        last.outcomes
        and last.status != "interrupted"
        and all(row.state in {"done", "reused"} for row in story.rows.values())
    ):
        yield "expected outcomes"
        for outcome in last.outcomes:
            yield from outcome_lines(outcome, story.run, look)
        yield ""
    yield _headline(story, last)
    rows = []
    if last.endpoints:
        name, url = next(iter(last.endpoints.items()))
        rows.append(("open", url if name == "gateway" else f"{url}  ({name})"))
    if last.inward:
        rows.append(("open", f"`{say('open', story.platform)}` opens it from this machine"))
    if last.credentials:
        rows.append(("sign in", f"`{say('credentials', story.platform)}`"))
    if (last.endpoints or last.inward) and last.status == "succeeded":
        commands = (say(each, story.platform) for each in ("status", "logs NAME", "down"))
        rows.append(("next", ", ".join(f"`{each}`" for each in commands)))
    yield from (f"  {name:<8} {text}" for name, text in rows)


def _headline(story: Story, last: RunFinished) -> str:
    states = [row.state for row in story.rows.values()]
    counts = ", ".join(
        f"{states.count(state)} {state}"
        for state in ("done", "reused", "failed", "skipped", "stopped")
        if state in states
    )
    return f"`{story.platform}` {last.status} in {duration(last.seconds)}: {counts or 'no steps'}"


def outcome_lines(outcome: Outcome, run: int, look: Look = PLAIN) -> Iterator[str]:
    """Format an outcome with its evidence; `run` is the run that is reported."""
    if outcome.verdict == "not verified":
        yield f"  not verified: {outcome.text}"
        yield from (wrapped for line in outcome.evidence for wrapped in look.wrap(line))
        return
    when = f" (in run {outcome.run})" if outcome.run != run else ""
    yield f"  {look.verified if outcome.verdict == 'verified' else look.failed} {outcome.text}{when}"
    for line in outcome.evidence:
        yield from look.wrap(line)


def _failure(row: Row) -> Iterator[str]:
    finished = row.finished
    assert finished is not None  # it failed
    first, *rest = finished.error.splitlines() or ["no reason given"]
    yield f"error: {row.name} failed: {first}"
    yield from (f"  {line}" for line in rest)
    if finished.hint:
        yield f"  hint: {finished.hint}"
    yield from (f"  | {line}" for line in finished.tail)
    if finished.log:
        yield f"  log: `{short_path(finished.log)}`"
