"""What a run is shown on: a reporter and its streams, none of which can change what the run does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from stepflow.cli.terminal import plural
from stepflow.events import Event, Notice, Output, RunFinished, Waiting


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


class Display:
    """Hands events to a reporter until it raises, and leaves out the output of steps while nothing reads it."""

    def __init__(self, reporter: Reporter, unread: Callable[[], bool], failed: Callable[[Exception], None]) -> None:
        """Show events with `reporter`; `unread` says whether nothing takes what it writes, `failed` gets its error."""
        self._reporter: Reporter | None = reporter
        self._unread, self._failed = unread, failed
        self._left_out = 0

    def __call__(self, event: Event) -> None:
        """Show an event, if it can be shown."""
        if isinstance(event, Output | Waiting) and self._unread():
            self._left_out += isinstance(event, Output)
            return
        if self._left_out and (isinstance(event, RunFinished) or not self._unread()):
            said = f"{plural(self._left_out, 'line')} of output left out, since nothing read them; the logs have them"
            self._left_out = 0
            self._guarded(lambda reporter: reporter(Notice(said)))
        self._guarded(lambda reporter: reporter(event))

    def __enter__(self) -> Self:
        """Begin."""
        self._guarded(lambda reporter: reporter.__enter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._guarded(lambda reporter: reporter.__exit__(kind, error, trace))

    def _guarded(self, act: Callable[[Reporter], object]) -> None:
        if self._reporter is None:
            return
        try:
            act(self._reporter)
        except Exception as error:  # noqa: BLE001 - a fault in what is shown is not one of the run
            reporter, self._reporter = self._reporter, None
            with suppress(Exception):  # it gives the terminal back
                reporter.__exit__(type(error), error, error.__traceback__)
            self._failed(error)
