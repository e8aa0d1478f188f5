"""The command line: a table of commands, one module each, and the one place where a failure becomes an exit code.

A command module holds `command`: a function with typer's annotations, or a `typer.Typer` for a group of them. Its
docstring's first sentence is the summary, and it ends with an example. Its top imports nothing heavier than typer:
`stepflow --help` imports every command module, so what a command needs is imported inside its function. A command
prints its data to stdout, returns an exit code (None: 0), and raises what `stepflow.errors` has.

This module imports not even typer: Ctrl-C would show a traceback until `console` has seen to it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import NoReturn

COMMANDS: Mapping[str, str] = {
    "run": "The platform",
    "resume": "The platform",
    "status": "The platform",
    "verify": "The platform",
    "open": "The platform",
    "credentials": "The platform",
    "logs": "The platform",
    "runs": "The platform",
    "down": "The platform",
    "check": "The document",
    "show": "The document",
    "plan": "The document",
    "graph": "The document",
    "init": "The tools",
    "playbooks": "The tools",
    "doctor": "The tools",
}
"""Command -> the panel of `stepflow --help` that it stands in; its module is `stepflow.cli.<command>`."""

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def console() -> NoReturn:
    """Run the command line and end the process with its exit code. SIGTERM and SIGHUP end it as Ctrl-C does."""
    _leave_when_interrupted()
    try:
        from stepflow.cli import failure, streams  # noqa: PLC0415 - Ctrl-C is seen to by now

        streams.prepare()
        failure.show_no_traceback(interrupted=_leave)
        code = main()
    except KeyboardInterrupt:  # once more, while the first was being answered
        code = INTERRUPTED
    with suppress(Exception):  # what it prints there is written, or cannot be
        sys.stdout.flush()
    if code == INTERRUPTED:  # threads that wait for an answer, of an engine or a cluster, would hold up the exit
        _leave()
    _leave_when_interrupted()
    sys.exit(code)


def _leave_when_interrupted() -> None:
    """End at once at any signal that is not ignored, as it is in a job in the background or under `nohup`."""
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _leave)


def _raise_when_interrupted() -> None:
    """Raise `KeyboardInterrupt` from here on, where `console` has seen to signals: there is something to clean up."""
    for number in _SIGNALS:
        if signal.getsignal(number) is _leave:
            signal.signal(number, signal.default_int_handler)  # the one that asyncio replaces


def _leave(*_: object) -> NoReturn:
    """End at once: nothing is half done, and an exception could come up anywhere, as in the middle of an import."""
    os._exit(INTERRUPTED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed, 2 wrong call, 3 wrong machine, 130
    interrupted.
    """
    from stepflow.cli import application, failure  # noqa: PLC0415 - `console` has prepared for what can go wrong

    given = list(sys.argv[1:] if arguments is None else arguments)
    named = given[:1] if given and given[0] in COMMANDS else []
    names = named or list(COMMANDS)
    present = {name: COMMANDS[name] for name in names if find_spec(f"stepflow.cli.{name}")}
    try:
        failure.require_directory()
        app = application.build(present)
        _raise_when_interrupted()
        answer = app(given, prog_name="stepflow", standalone_mode=False, complete_var="")  # no completion
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - the one place that reports whatever went wrong
        cause = error.__context__ if isinstance(error, SystemExit) else None  # typer ends with it for a broken pipe
        return failure.report(cause or error, given, " ".join(["stepflow", *named]))
    return answer if isinstance(answer, int) else 0
