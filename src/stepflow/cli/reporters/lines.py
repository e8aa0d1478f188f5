"""One line an event: plain text for logs and pipes, without colour, and JSON for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TextIO

from stepflow.cli.reporters.story import Story, closing, failures, plan_lines
from stepflow.cli.terminal import clean, duration, plural
from stepflow.events import (
    Checked,
    Event,
    Notice,
    Output,
    PhaseStarted,
    Retrying,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    Waiting,
    as_json,
)

_PAUSE = 3.0  # seconds between two lines of a step about what it waits for
_STILL = 30.0  # seconds after which the same waiting gets another line


@dataclass(frozen=True, slots=True)
class _Wait:
    """The last line about a step's waiting, and when it was printed."""

    waiting_for: str
    answer: str
    said: float


class Lines:
    """Writes progress to one stream and failures to another."""

    def __init__(
        self, out: TextIO, err: TextIO, *, show_plan: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Write progress to `out`, what went wrong to `err`; `clock` gives seconds."""
        self._out, self._err, self._show_plan, self._clock = out, err, show_plan, clock
        self._story = Story()
        self._waits: dict[int, _Wait] = {}
        self._answers: dict[tuple[int, str], str] = {}  # the last that was printed of each wait

    def __call__(self, event: Event) -> None:
        """Write an event's line, if it has one."""
        self._story.hear(event)
        if isinstance(event, RunFinished):
            self._end(event)
        elif line := self._line(event):
            self._out.write(clean(line) + "\n")
            self._out.flush()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def _line(self, event: Event) -> str:
        match event:
            case RunStarted():
                line = f"run {event.run} of `{event.platform}` on {event.target}, {plural(len(event.steps), 'step')}"
                plan = plan_lines(event.plan, {number: title for number, title, *_ in event.steps})
                line = f"{plan}\n{line}" if self._show_plan else line
            case Output():
                line = f"{event.step:>3} | {clean(event.line)}"
            case Notice():
                line = f"{self._name(event.step)}: {event.message}" if event.step is not None else event.message
            case StepFinished():
                line = f"{self._name(event.step)}: {self._finish(event)}"
            case StepStarted() | PhaseStarted() | Waiting() | Retrying() | Checked():
                said = self._progress(event)
                line = f"{self._name(event.step)}: {said}" if said else ""
            case _:
                line = ""
        return line

    def _progress(self, event: StepStarted | PhaseStarted | Waiting | Retrying | Checked) -> str:
        match event:
            case StepStarted():
                said = f"{event.action}: {'; '.join(event.reasons)}"
            case PhaseStarted():
                said = f"{event.phase}: {event.detail}" if event.detail else ""
            case Waiting():
                said = self._wait(event)
            case Retrying():
                said = f"try {event.attempt} in {event.delay:.1f} s: {event.reason}"
            case Checked():
                said = f"check `{event.check}` {'ok' if event.passed else 'failed'}: {event.evidence}"
        return said

    def _wait(self, event: Waiting) -> str:
        """Print what is waited for when it changes, and again at intervals if another line came after it."""
        now, last, wait = self._clock(), self._waits.get(event.step), (event.step, event.waiting_for)
        old = self._answers.get(wait) == event.answer
        pause = _STILL if old or (last and last.waiting_for == event.waiting_for) else _PAUSE
        if not event.answer or (last and (now < last.said + pause or (old and last.waiting_for == event.waiting_for))):
            return ""
        self._answers[wait] = event.answer
        self._waits[event.step] = _Wait(event.waiting_for, event.answer, now)
        return f"waits for {event.waiting_for}: {event.answer}"

    def _finish(self, event: StepFinished) -> str:
        if event.outcome == "reused":
            return "; ".join(event.reasons)
        if event.outcome == "skipped":
            return f"skipped: {self._story.because(self._story.rows[event.step])}"
        return f"{event.outcome} in {duration(event.seconds)}"

    def _end(self, event: RunFinished) -> None:
        self._out.write("".join(f"{clean(line)}\n" for line in ("", *closing(self._story, event))))
        self._out.flush()
        self._err.write("".join(f"{clean(line)}\n" for line in failures(self._story)))
        self._err.flush()

    def _name(self, step: int) -> str:
        return self._story.rows[step].name


class Ndjson:
    """Writes each event as soon as it comes."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._stream = stream
        self._run = 0

    def __call__(self, event: Event) -> None:
        """Write one line."""
        if isinstance(event, RunStarted):
            self._run = event.run
        self._stream.write(json.dumps(as_json(event, self._run), ensure_ascii=False) + "\n")
        self._stream.flush()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
