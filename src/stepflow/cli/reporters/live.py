"""The live view of a terminal: one line per step, redrawn while the run goes on."""

from __future__ import annotations

import locale
import time
from collections.abc import Iterator
from textwrap import fill
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from stepflow.cli.reporters.story import Look, Row, Story, closing, failures, plan_lines
from stepflow.cli.terminal import clean, duration, plural
from stepflow.events import Checked, Event, Notice, Output, RunFinished, RunStarted

_MARKS = {
    "waiting": ("·", ".", "dim"),
    "running": ("●", ">", "cyan"),
    "done": ("✓", "+", "green"),
    "reused": ("✓", "=", "dim green"),
    "failed": ("✗", "x", "bold red"),
    "skipped": ("○", "-", "dim"),
    "stopped": ("■", "!", "yellow"),
}
_STYLES = (("error:", "bold red"), ("hint:", "cyan"), ("skipped:", "dim"), ("stopped:", "yellow"))
_FIXED = 27  # columns of mark, number, phase, time and the spaces between
_TITLE = 20  # columns that a title keeps in any case
_ANSWER = 18  # columns of an answer for which the question is cut
_QUESTION = 12  # columns that the question keeps in any case
_RESERVED = 6  # lines of the terminal that are not the steps'
_PER_SECOND = 8
_WIDTH = 80  # columns of a terminal that does not say


class LiveView:
    """Shows a run as it goes."""

    def __init__(self, out: TextIO | None = None, *, show_plan: bool = False, console: Console | None = None) -> None:
        """Draw on the terminal that `out` leads to."""
        self._console = console or Console(file=out, highlight=False)
        if self._console.width < 1:  # `COLUMNS=0`
            self._console.width = _WIDTH
        self._unicode = "utf" in (self._console.encoding or locale.getpreferredencoding()).lower()
        self._story, self._show_plan = Story(width=max(_TITLE, self._console.width - _FIXED)), show_plan
        self._live = Live(self, console=self._console, refresh_per_second=_PER_SECOND, transient=True)

    def __call__(self, event: Event) -> None:
        """Process an event; the view is redrawn by its own clock."""
        self._story.hear(event)
        match event:
            case RunStarted() if self._show_plan:
                titles = {number: title for number, title, *_ in event.steps}
                self._say(plan_lines(event.plan, titles, self._story.width))
            case Output() if line := clean(event.line):
                self._console.print(self._cut(Text(f"{event.step:>3} | {line}", "dim"), self._console.width))
            case Notice():
                said = event.message if event.step is None else f"step {event.step}: {event.message}"
                self._say(said, "yellow")
            case Checked() if not event.passed:
                self._say(f"step {event.step}: check `{event.check}` failed: {event.evidence}", "red")
            case RunFinished():
                self._end(event)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the terminal."""
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the steps as they are now, each on one line."""
        room = max(3, (options.height or console.height) - _RESERVED)
        yield Text()
        for line in (self._head(), *self._steps(options.max_width, room), *self._closing()):
            yield self._cut(line, options.max_width)

    def _cut(self, text: Text, width: int, *, pad: bool = False) -> Text:
        """Keep a text on one line: what does not fit is in the log."""
        text.truncate(width, overflow="ellipsis" if self._unicode else "crop", pad=pad)
        return text

    def _head(self) -> Text:
        story, over = self._story, len(self._story.over())
        elapsed = duration(story.last.seconds if story.last else time.monotonic() - story.began)
        text = self._bar(over, len(story.rows))
        text.append(f"  {over}/{plural(len(story.rows), 'step')}, {elapsed}  ")
        return text.append(story.platform, "bold").append(f" on {story.target}, run {story.run}", "dim")

    def _closing(self) -> Iterator[Text]:
        """Return the line of the journeys, which run when all steps are over."""
        if self._story.closing and not self._story.last:
            mark = _MARKS["running"][0 if self._unicode else 1]
            elapsed = duration(time.monotonic() - self._story.closing_began)
            yield Text.assemble((mark, "cyan"), f"      verify  {elapsed:>8}  ", clean(self._story.closing))

    def _bar(self, done: int, total: int, width: int = 16) -> Text:
        filled = width * done // max(total, 1)
        full, empty = ("━", "─") if self._unicode else ("=", "-")
        return Text.assemble((full * filled, "green"), (empty * (width - filled), "dim"))

    def _steps(self, width: int, room: int) -> Iterator[Text]:
        """Return a line for each step; where they do not all fit, those that run or failed come first."""
        rows = list(self._story.rows.values())
        title = min(max((len(row.title) for row in rows), default=0), max(12, (width - _FIXED) * 2 // 5))
        if len(rows) <= room:
            yield from (self._step(row, title, width) for row in rows)
            return
        rank = {"running": 0, "failed": 1, "stopped": 2, "waiting": 3}
        chosen = {row.number for row in sorted(rows, key=lambda row: rank.get(row.state, 4))[: room - 1]}
        yield from (self._step(row, title, width) for row in rows if row.number in chosen)
        yield Text(f"   and {plural(len(rows) - len(chosen), 'more step')}", "dim")

    def _step(self, row: Row, title_width: int, width: int) -> Text:
        mark, plain, style = _MARKS[row.state]
        title = self._cut(Text(row.title), title_width, pad=True)
        text = Text.assemble((mark if self._unicode else plain, style), f"{row.number:>4} ", title, "  ")
        if row.state == "waiting":
            before = self._story.blocked_by(row)
            return text.append(f"after {', '.join(map(str, before))}" if before else "waits for its turn", "dim")
        text.append(f"{row.phase if row.state == 'running' else row.state:<8} ", style)
        text.append(f"{'' if row.state in {'reused', 'skipped'} else duration(row.elapsed()):>8}  ")
        detail = row.detail.removesuffix(": reused") if row.state == "reused" else row.detail
        said = self._both(clean(detail), clean(row.answer), width - len(text))
        return text.append(said, "" if row.state == "running" else "dim")

    def _both(self, waiting_for: str, answer: str, room: int) -> str:
        """Return what is waited for and the last answer; where both do not fit, the beginnings of both."""
        if not answer:
            return waiting_for
        over = len(waiting_for) + len(": ") + min(len(answer), _ANSWER) - room
        if over > 0:
            waiting_for = self._cut(Text(waiting_for), max(len(waiting_for) - over, _QUESTION)).plain
        return f"{waiting_for}: {answer}"

    def _end(self, event: RunFinished) -> None:
        self._live.stop()
        self._console.print(self)
        self._console.print()
        look = Look("✓", "✗", self._console.width) if self._unicode else Look(width=self._console.width)
        for line in (*closing(self._story, event, look), *failures(self._story)):
            style = next((style for word, style in _STYLES if line.startswith(word)), "")
            self._say(line, style)

    def _say(self, text: str, style: str = "") -> None:
        for line in text.split("\n"):
            self._console.print(Text(self._at_words(clean(line)), style), soft_wrap=True)

    def _at_words(self, line: str) -> str:
        """Break a long line between words, and never within one: paths and URLs stay whole, to be copied."""
        width, indent = self._console.width, " " * (len(line) - len(line.lstrip()) + 2)
        if len(line) <= width or line.lstrip().startswith("|"):  # a log's line is shown as it was written
            return line
        return fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
