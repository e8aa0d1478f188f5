"""The end of a run in words: what failed and why, what was verified by which evidence, where to click, what to type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap

from stepflow.cli.places import say
from stepflow.cli.reporters.story import Row, Story
from stepflow.cli.terminal import duration, short_path
from stepflow.events import Outcome, RunFinished

_INDENT = "      "
_LINES = 2  # of one check's evidence, where width is scarce


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
            line, self.width, initial_indent=_INDENT, subsequent_indent=after, max_lines=_LINES, placeholder=" …"
        )


PLAIN = Look()


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
