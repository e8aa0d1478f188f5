"""The application that typer parses the command line with: one command, or all of them for the help."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Annotated

import typer

from stepflow import __version__
from stepflow.cli.options import expanded

SUMMARY = """Run a Markdown playbook as a platform: parse, plan, render, deploy, verify, resume.

Example: `stepflow run workflow.md`
"""


def build(commands: Mapping[str, str]) -> typer.Typer:
    """Build the application with these commands, each with its panel; one alone has the targets' options."""
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
    for name, panel in commands.items():
        command: Callable[..., int | None] | typer.Typer = import_module(f"stepflow.cli.{name}").command
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=panel)
        else:
            taking = expanded(command, doctor=name == "doctor", load=len(commands) == 1)
            app.command(name, rich_help_panel=panel)(taking)
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
