"""`stepflow show`: what a document says."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The workflow: `workflow.md`, or `FILE#heading`.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Show what a document says: title, overview, steps with their fields, outcomes and patterns, with their lines.

    Example: `stepflow show workflow.md`
    """
    from stepflow.cli import showing  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.workflow import load  # noqa: PLC0415 - likewise

    workflow = load(file)
    typer.echo(showing.as_json(workflow) if json else showing.as_text(workflow))
