"""The state of a run for reporters: each step's state, and the words for it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from stepflow.cli.terminal import clean
from stepflow.events import (
    Event,
    Output,
    PhaseStarted,
    Retrying,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    Waiting,
)

State = Literal["waiting", "running", "done", "reused", "failed", "skipped", "stopped"]


@dataclass(slots=True)
class Row:
    """One step as it is shown."""

    number: int
    title: str
    relies: tuple[int, ...] = ()
    state: State = "waiting"
    phase: str = ""
    detail: str = ""  # what is being done, or waited for
    answer: str = ""  # of the last probe
    began: float = 0.0
    seconds: float = 0.0
    finished: StepFinished | None = None

    @property
    def name(self) -> str:
        """The step's name in a sentence."""
        return f"step {self.number} ({self.title})" if self.title else f"step {self.number}"

    def say(self, detail: str, answer: str = "") -> None:
        """Record what is being done now."""
        self.detail, self.answer = detail, answer

    def elapsed(self) -> float:
        """Return the seconds that the step has taken so far."""
        return time.monotonic() - self.began if self.state == "running" else self.seconds


@dataclass(slots=True)
class Story:
    """The state of a run, built from its events."""

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
                self.rows = {number: Row(number, title, relies) for number, title, _, relies in event.steps}
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
        cause = self.rows.get(row.finished.because) if row.finished else None
        return f"step {cause.number} {cause.state}" if cause else "the run ended"

    def over(self) -> list[Row]:
        """List the steps that are over."""
        return [row for row in self.rows.values() if row.state not in {"waiting", "running"}]

    def blocked_by(self, row: Row) -> list[int]:
        """List the steps that a waiting one still waits for."""
        return [n for n in row.relies if n in self.rows and self.rows[n].state not in {"done", "reused"}]
