"""What the engine reports while it works. Reporters turn events into a live view, lines of text, or NDJSON.

An event is a frozen value of simple types; `as_json` returns the object that `--json` prints, one per line. A step is
named by its number in the document, which may be 0; where there is none, the value is None, in JSON `null`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

Phase = Literal["render", "deploy", "verify", "hand off"]
StepOutcome = Literal["done", "reused", "failed", "skipped", "stopped"]
RunStatus = Literal["succeeded", "failed", "interrupted"]
Verdict = Literal["verified", "failed", "not verified"]


@dataclass(frozen=True, slots=True)
class Event:
    """The base: every event has a name."""

    name: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An expected outcome of the document, how it was answered, and by which evidence (one line a check)."""

    text: str
    verdict: Verdict
    evidence: tuple[str, ...] = ()
    run: int = 0  # the run that verified it


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run begins: the platform, the target, and its steps as (number, title, action, steps it relies on)."""

    name = "run_started"
    run: int
    platform: str
    target: str
    steps: tuple[tuple[int, str, str, tuple[int, ...]], ...]
    plan: str


@dataclass(frozen=True, slots=True)
class StepStarted(Event):
    """A step begins, and why it has to run."""

    name = "step_started"
    step: int
    action: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PhaseStarted(Event):
    """A step enters a phase."""

    name = "phase_started"
    step: int
    phase: Phase
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Waiting(Event):
    """What a step waits for, what the last probe answered, and how many seconds may still pass (None: no limit)."""

    name = "waiting"
    step: int
    waiting_for: str
    answer: str = ""
    remaining: float | None = None


@dataclass(frozen=True, slots=True)
class Retrying(Event):
    """An attempt failed for a reason that may be temporary; the next one starts after `delay` seconds."""

    name = "retrying"
    step: int
    reason: str
    delay: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Output(Event):
    """One line that a job of the step printed."""

    name = "output"
    step: int
    line: str


@dataclass(frozen=True, slots=True)
class Checked(Event):
    """A check was answered. `step` is the one whose playbook defines it."""

    name = "checked"
    step: int
    check: str
    passed: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """Something that the user should know, in one sentence; without a `step`, of the whole run."""

    name = "notice"
    message: str
    step: int | None = None


@dataclass(frozen=True, slots=True)
class StepFinished(Event):
    """A step is over: a failed one says why, and how its log ends; a skipped one, because of which step (None: the
    run was interrupted or stopped).
    """

    name = "step_finished"
    step: int
    outcome: StepOutcome
    seconds: float = 0.0
    reasons: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""
    log: str = ""
    tail: tuple[str, ...] = ()
    because: int | None = None


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """The last event of a run."""

    name = "run_finished"
    status: RunStatus
    seconds: float
    outcomes: tuple[Outcome, ...] = ()
    endpoints: dict[str, str] = field(default_factory=dict)
    resume: str = ""  # the command that continues from here, when something is left to do
    credentials: bool = False  # whether `stepflow credentials` has something to show
    inward: bool = False  # its addresses are internal to a cluster: `stepflow open` forwards to them


Emit = Callable[[Event], None]


def as_json(event: Event, run: int) -> dict[str, Any]:
    """Return the object of `--json`: `{"event", "time", "run", "step"?, ...}`, time in RFC 3339, UTC."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"event": event.name, "time": now, "run": run} | asdict(event)
