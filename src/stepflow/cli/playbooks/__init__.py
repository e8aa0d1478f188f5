"""`stepflow playbooks`: what is installed, what one takes and gives, and a new one of your own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

command = typer.Typer(no_args_is_help=False)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The playbook's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@command.callback(invoke_without_command=True)
def list_all(context: typer.Context, *, json: AsJson = False) -> int:
    """List the installed playbooks, show one, make one of your own, test one.

    Example: `stepflow playbooks show user-service`
    """
    from stepflow.cli.playbooks import listing  # noqa: PLC0415 - keeps `--help` quick

    if context.invoked_subcommand is None:
        sys.stdout.write((listing.all_as_json() if json else listing.all_as_text()) + "\n")
    return 0


@command.command()
def show(name: Name, *, json: AsJson = False) -> None:
    """Show a playbook: its inputs with their JSON Schema, its features and their words, what it takes and gives.

    Example: `stepflow playbooks show user-service`
    """
    from stepflow.blame import blaming  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.cli.playbooks import listing  # noqa: PLC0415 - likewise
    from stepflow.registry import installed  # noqa: PLC0415 - likewise

    playbook = installed().load(name)
    with blaming("playbook", playbook.name, "to show what it takes and gives"):
        text = listing.one_as_json(playbook) if json else listing.one_as_text(playbook)
    sys.stdout.write(f"{text}\n")


@command.command()
def new(
    name: Name,
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="Where; by default `./NAME`.")] = None,
) -> None:
    """Write a package with a working playbook and its test, to start from.

    Example: `stepflow playbooks new my-cache`
    """
    from stepflow.cli.playbooks import making  # noqa: PLC0415 - keeps `--help` quick

    target = folder or Path(name)
    for path in making.make(name, target):
        sys.stdout.write(f"wrote `{target / path}`\n")
    sys.stdout.write(f"next: `pip install -e {target}`, then `stepflow playbooks test {name}`\n")


@command.command()
def test(name: Name) -> int:
    """Hold a playbook to the contract that all playbooks hold to. Needs pytest.

    Example: `stepflow playbooks test user-service`
    """
    from stepflow.cli.playbooks import making  # noqa: PLC0415 - keeps `--help` quick

    return making.test(name)
