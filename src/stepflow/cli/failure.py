"""How a failure looks: `error:` and `hint:` on stderr, a caret under the place in the document, never a traceback."""

from __future__ import annotations

import errno
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from stepflow.cli.streams import StdoutError
from stepflow.cli.terminal import clean, shortened
from stepflow.errors import Diagnostic, DocumentError, MachineError, StepflowError

_WRONG_CALL = 2
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_QUOTED = re.compile(r"'([^']*)'|(?<=option: )(\S+)")
_WORDS = (
    ("Invalid value for ", ""),
    ("Value error, ", ""),
    ("greater than or equal to ", "at least "),
    ("less than or equal to ", "at most "),
    ("be a valid integer, unable to parse string as an integer", "be a whole number"),
    ("option: ", "option "),
)
"""The words of typer's parser -> ours."""
_EXTRA = re.compile(r"Got unexpected extra argument(?:s|\(s\))? \((.*)\)")
_LINE = 160
"""Characters of a line of the document that are shown around its caret."""
_SENTENCE = 1_000  # characters of a message or hint
_ALIKE = 20  # diagnostics of one code
_LIMITS: Mapping[int, str] = {
    **dict.fromkeys(_FULL, "free some space, then run the same command again"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "`ulimit -n 4096` allows more open files"),
    errno.EFBIG: "`ulimit -f unlimited` lifts the limit of a file's size",
}
"""What a machine limits -> what to do about it."""
_MINE = (errno.EACCES, errno.EPERM, errno.EROFS)
_IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP)
_OF_A_FILE: Mapping[int, str] = {
    **dict.fromkeys(_MINE, "make it readable and writable for your account, then run the same command again"),
    **dict.fromkeys(_IN_THE_WAY, "move it away, then run the same command again"),
    errno.ENAMETOOLONG: "use a shorter name",
}
"""What is wrong with a file -> what to do about it."""
_REPORTS = Path(".stepflow") / "crash_reports"  # no platform can have this name


def show_no_traceback(interrupted: Callable[[], object]) -> None:
    """Handle what is raised where nothing can catch it: in a thread, or while something is destroyed.

    There Python would print Ctrl-C, and go on as if it had not been pressed; `interrupted` is called instead.
    """

    def unraisable(raised: sys.UnraisableHookArgs) -> None:
        if issubclass(raised.exc_type, KeyboardInterrupt):
            interrupted()

    threading.excepthook = lambda failed: failed.exc_value and report(failed.exc_value, sys.argv[1:])
    sys.unraisablehook = unraisable


def report(error: BaseException, arguments: Sequence[str], command: str = "stepflow") -> int:
    """Print what went wrong to stderr and return its exit code; `command` is what was called, without arguments."""
    if isinstance(error, StdoutError):
        return _unprinted(error)
    error = _of_the_machine(error) or error
    if isinstance(error, DocumentError):
        _say("\n\n".join(caret(diagnostic) for diagnostic in capped(error.diagnostics)))
        _say("")
        _say(f"error: {error.message}")
        return error.exit_code
    if isinstance(error, StepflowError):
        return _report_known(error, arguments)
    words = getattr(error, "format_message", None)  # the exceptions of typer's parser, wherever it keeps them
    if words is not None:
        return _wrong_call(error, str(words()), command)
    return _crashed(error, arguments)


def _report_known(error: StepflowError, arguments: Sequence[str]) -> int:
    from stepflow.blame import PluginError  # noqa: PLC0415 - keeps `--help` quick

    place = f"{error.span}: " if error.span else ""
    _say(f"error: {place}{error.message}")
    if isinstance(error, PluginError):
        _report(error.__cause__ or error, arguments, error.hint)
    else:
        _say_hint(error.hint)
    if error.log:
        _say(f"log: `{error.log}`")
    return error.exit_code


def _of_the_machine(error: BaseException) -> MachineError | None:
    """Return what the machine lacks, where that is why something failed."""
    if isinstance(error, MemoryError):
        return MachineError("there is not enough memory", hint="free some, or raise the limit that `ulimit -v` shows")
    if isinstance(error, FileNotFoundError) and _directory_gone():
        return _no_directory()
    if isinstance(error, OSError) and (hint := _remedy(error)):
        return MachineError(f"{f'`{error.filename}`: ' if error.filename else ''}{error.strerror}", hint=hint)
    return None


def require_directory() -> None:
    """Raise `MachineError` when the working directory was removed: no path could be looked up in it."""
    if _directory_gone():
        raise _no_directory()


def _directory_gone() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - for its error alone
    except FileNotFoundError:
        return True
    return False


def _no_directory() -> MachineError:
    hint = "`cd` into one that exists: `cd ..`, or `cd` alone"
    return MachineError("the working directory does not exist any more", hint=hint)


def _remedy(error: OSError) -> str:
    """Return what to do about a limit, or a file that cannot be used; "" where neither is to blame."""
    number = error.errno or 0
    return _LIMITS.get(number, "") or (_OF_A_FILE.get(number, "") if error.filename else "")


def capped(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Return what is printed of diagnostics: of each code the first ones, and how many more there are; no endless text.

    All are needed to fix a document, but never at once, and a document can have as many as it has lines.
    """
    left = Counter((found.code, found.severity) for found in diagnostics)
    shown: Counter[tuple[str, str]] = Counter()
    kept = []
    for found in diagnostics:
        kind = found.code, found.severity
        shown[kind] += 1
        left[kind] -= 1
        if shown[kind] <= _ALIKE or (shown[kind] == _ALIKE + 1 and not left[kind]):
            kept.append(
                replace(found, message=shortened(found.message, _SENTENCE), hint=shortened(found.hint, _SENTENCE))
            )
        elif shown[kind] == _ALIKE + 1:
            kept.append(replace(found, message=f"and {left[kind] + 1} more of {found.code}, from here on", hint=""))
    return kept


def caret(diagnostic: Diagnostic) -> str:
    """Format a diagnostic as text: place, severity, code, sentence, the source line with a caret under it, the hint."""
    span = diagnostic.span
    lines = [f"{span}: {diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"]
    if diagnostic.source:
        text, column = _window(diagnostic.source, span.column)
        length = max(1, min(span.length, len(text) - column + 1))
        gutter = " " * len(str(span.line))
        lines += [f" {span.line} | {text}", f" {gutter} | {' ' * (column - 1)}{'^' * length}"]
    if diagnostic.hint:
        lines.append(f"  hint: {diagnostic.hint}")
    return "\n".join(lines)


def _window(line: str, column: int) -> tuple[str, int]:
    """Return the part of a line around a column, and that column in it; `…` stands for what is left out."""
    start = max(0, min(column - 1 - _LINE // 4, len(line) - _LINE))
    text = line[start : start + _LINE]
    before, after = "…" if start else "", "…" if start + _LINE < len(line) else ""
    text = f"{before}{text[len(before) : len(text) - len(after)]}{after}"
    return text.expandtabs(1).rstrip(), column - start


def display_failed(error: Exception) -> None:
    """Report that a run is no longer shown, for a reason that is not its own."""
    _say(f"error: the display of the run failed: {type(error).__name__}: {error}; the run goes on without it")
    _report(error, sys.argv[1:], "this is a bug")


def _unprinted(error: StdoutError) -> int:
    """End quietly when the reader of stdout is gone, and say what else is wrong with it."""
    if error.left:
        return 1
    _say(f"error: stdout cannot be written: {error.reason}")
    _say_hint("free some space, then run it again" if error.number in _FULL else "send it to a file")
    return MachineError.exit_code


def _wrong_call(error: BaseException, words: str, command: str) -> int:
    path = getattr(getattr(error, "ctx", None), "command_path", None) or command
    if not words:  # `stepflow` alone: typer has printed the help
        return _WRONG_CALL
    if extra := _EXTRA.match(words):
        words = f"`{path}` takes no further argument: `{extra[1]}`"
    said, _, meant = _QUOTED.sub(_ticks, words).partition(" Did you mean ")
    for theirs, ours in (("Input should", f"{_given(error)} should"), *_WORDS):
        said = said.replace(theirs, ours)
    said, _, options = said.partition(" (Possible options: ")
    meant = meant.rstrip("?") or " or ".join(f"`{each}`" for each in options.rstrip(")").split(", ") if each)
    _say(f"error: {said[:1].lower()}{said[1:].rstrip('.')}")
    _say_hint(f"did you mean {meant}?" if meant else f"`{path} --help` lists commands and options")
    return _WRONG_CALL


def _given(error: BaseException) -> str:
    """Return the value that was given, which pydantic knows: typer's parser asks it."""
    causes = getattr(error.__cause__, "errors", None)
    found = causes() if callable(causes) else ()
    return f"`{found[0]['input']}`" if found else "it"


def _ticks(found: re.Match[str]) -> str:
    return f"`{found[1] or found[2]}`"


def _crashed(error: BaseException, arguments: Sequence[str]) -> int:
    _say(f"error: stepflow itself failed: {type(error).__name__}: {error}")
    _report(error, arguments, "this is a bug")
    return 1


def _report(error: BaseException, arguments: Sequence[str], hint: str) -> None:
    """Write the report of a bug, and say where it is."""
    import platform  # noqa: PLC0415 - only a crash needs it
    import traceback  # noqa: PLC0415 - likewise

    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%SZ}-{os.getpid()}.txt"
    path: Path | None = _REPORTS / name
    machine = f"Python {platform.python_version()} on {platform.platform()}"
    head = f"stepflow {' '.join(arguments)}\n{now.isoformat()}\n{machine}\n\n"
    text = head + "".join(traceback.format_exception(error))
    try:
        _REPORTS.mkdir(mode=0o700, parents=True, exist_ok=True)
        (_REPORTS / name).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:  # the directory may not be written
        path = _elsewhere(name, text)
    _say(f"hint: {hint}" + (f"; the report to send is `{path}`" if path else ", and no report could be written"))


def _elsewhere(name: str, text: str) -> Path | None:
    import tempfile  # noqa: PLC0415 - only a crash needs it

    try:
        with tempfile.NamedTemporaryFile("w", prefix="stepflow-", suffix=f"-{name}", delete=False) as file:
            file.write(text)
    except (OSError, UnicodeError):
        return None
    return Path(file.name)


def _say_hint(hint: str) -> None:
    if hint:
        _say(f"hint: {hint}")


def _say(text: str) -> None:
    sys.stderr.write(clean(text) + "\n")
