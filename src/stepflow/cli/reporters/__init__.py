"""How events are shown: a live view on a terminal, lines of text elsewhere, NDJSON for programs."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Protocol, Self

from stepflow.cli.reporters.lines import Lines, Ndjson
from stepflow.events import Event


class Reporter(Protocol):
    """Takes the events of one run, in a `with` statement."""

    def __call__(self, event: Event) -> None:
        """Show an event."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, also when the engine failed."""


def choose(*, json: bool, show_plan: bool = False) -> Reporter:
    """Choose a reporter by where stdout goes. `show_plan` prints the plan first."""
    if json:
        return Ndjson(sys.stdout)
    if sys.stdout.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}:
        from stepflow.cli.reporters.live import LiveView  # noqa: PLC0415 - rich takes 40 ms, and only a terminal needs it

        return LiveView(show_plan=show_plan)
    return Lines(sys.stdout, sys.stderr, show_plan=show_plan)
