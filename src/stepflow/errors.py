"""What can go wrong, and where: spans, diagnostics, and the exceptions that carry an exit code.

Exit codes: 0 done, 1 a step failed, 2 the document or the call is wrong, 3 the machine lacks something,
130 interrupted. Only reporters print; an error carries what they need to do so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from stepflow import DISTRIBUTION

__all__ = [
    "Diagnostic",
    "DocumentError",
    "MachineError",
    "PermanentError",
    "Severity",
    "Span",
    "StepflowError",
    "TemporaryError",
    "UsageError",
    "install_hint",
]

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a file: 1-based line and column, and the length in characters that a caret underlines."""

    file: str
    line: int
    column: int = 1
    length: int = 1

    def __str__(self) -> str:
        """Format the place as `file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem in a document: a stable code, the place, a sentence with the value in it, what to type next."""

    code: str
    severity: Severity
    span: Span
    message: str
    hint: str = ""
    source: str = ""  # the text of the line that the span is on


class StepflowError(Exception):
    """A failure that is reported to the user: a message, a hint what to type next, and a place where there is one."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", span: Span | None = None, log: str = "") -> None:
        """Keep the message, the hint, the place, and the path of the log that says more."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.span = span
        self.log = log


def install_hint(extra: str, distribution: str = DISTRIBUTION) -> str:
    """Return the hint that installs an extra, such as `docker`; with "" the distribution and what it depends on."""
    return f"`pip install '{distribution}{f'[{extra}]' if extra else ''}'`"


class UsageError(StepflowError):
    """The call is wrong: an unknown option value, a name that does not exist."""

    exit_code: ClassVar[int] = 2


class DocumentError(StepflowError):
    """The document is wrong; all of its problems at once."""

    exit_code: ClassVar[int] = 2

    def __init__(self, diagnostics: tuple[Diagnostic, ...], where: str = "the document") -> None:
        """Keep every diagnostic; the message counts the errors, and names where they are."""
        errors = sum(d.severity == "error" for d in diagnostics)
        super().__init__(f"{errors} {'error' if errors == 1 else 'errors'} in {where}")
        self.diagnostics = diagnostics


class MachineError(StepflowError):
    """The machine lacks something; the hint is the remedy."""

    exit_code: ClassVar[int] = 3


class TemporaryError(StepflowError):
    """A retry may help: retry after `delay` seconds (None: the caller's back-off), until the deadline."""

    def __init__(self, message: str, *, delay: float | None = None, hint: str = "", log: str = "") -> None:
        """Keep the delay in seconds beside the message."""
        super().__init__(message, hint=hint, log=log)
        self.delay = delay


class PermanentError(StepflowError):
    """A retry would not help: the step fails at once."""
