"""The command line: a table of commands, one module each, and the one place where a failure becomes an exit code.

A command module holds `command`: a function with typer's annotations, or a `typer.Typer` for a group of them. Its
docstring's first sentence is the summary, and it ends with an example. Its top imports nothing heavier than typer:
`stepflow --help` imports every command module, so what a command needs is imported inside its function. A command
prints its data to stdout, returns an exit code (None: 0), and raises what `stepflow.errors` has.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, NoReturn

import typer

from stepflow import __version__
from stepflow.cli.options import expanded

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

SUMMARY = """Run a Markdown playbook as a platform: parse, plan, render, deploy, verify, resume.

Example: `stepflow run workflow.md`
"""


def build(names: Sequence[str]) -> typer.Typer:
    """Build the application with the named commands of `COMMANDS`; of one alone with the targets' options."""
    app = typer.Typer(
        name="stepflow",
        help=SUMMARY,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_options)
    for name in names:
        command: Callable[..., int | None] | typer.Typer = import_module(f"stepflow.cli.{name}").command
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=COMMANDS[name])
        else:
            taking = expanded(command, doctor=name == "doctor", load=len(names) == 1)
            app.command(name, rich_help_panel=COMMANDS[name])(taking)
    return app


def _show_version(value: bool) -> None:  # noqa: FBT001 - typer hands a flag's value over by position
    if value:
        sys.stdout.write(f"stepflow {__version__}\n")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""
    del version


def console() -> NoReturn:
    """Run the command line and end the process with its exit code. SIGTERM and SIGHUP end it as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)
    code = main()
    if code == INTERRUPTED:  # threads that wait for an answer, of an engine or a cluster, would hold up the exit
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed, 2 wrong call, 3 wrong machine, 130
    interrupted.
    """
    from stepflow.cli import failure  # noqa: PLC0415 - keeps internal names out of this package's namespace

    given = list(sys.argv[1:] if arguments is None else arguments)
    named = given[:1] if given and given[0] in COMMANDS else []
    names = named or list(COMMANDS)
    present = [name for name in names if find_spec(f"stepflow.cli.{name}")]
    try:
        failure.require_directory()
        answer = build(present)(given, prog_name="stepflow", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return failure.reader_left()
    except BaseException as error:  # noqa: BLE001 - the one place that reports whatever went wrong
        if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):  # as typer ends then
            return failure.reader_left()
        return failure.report(error, given, " ".join(["stepflow", *named]))
    return answer if isinstance(answer, int) else 0
