"""A text that is being read: where things stand in it, and what was found wrong so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from stepflow.errors import Diagnostic, Severity, Span
from stepflow.markdown import Source


@dataclass(frozen=True, slots=True)
class Reading:
    """The source, the name it has for its reader, and the problems found."""

    source: Source
    file: str
    problems: list[Diagnostic] = field(default_factory=list)

    def span(self, start: int, end: int) -> Span:
        """Return the place between two offsets, cut at the end of its first line; at least one character long."""
        line, column = self.source.place(start)
        rest = self.source.length(line) - column + 1
        return Span(self.file, line, column, max(1, min(end - start, rest)))

    def report(self, code: str, span: Span, message: str, hint: str = "", severity: Severity = "error") -> None:
        """Note a problem, with the line that it stands on."""
        self.problems.append(Diagnostic(code, severity, span, message, hint, self.source.line(span.line)))
