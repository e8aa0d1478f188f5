"""`stepflow check`: everything that is wrong with a document."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The workflow: `workflow.md`, or `FILE#heading`.")],
    *,
    json: Annotated[bool, typer.Option("--json", help='`{"diagnostics": [...]}` on stdout.')] = False,
) -> int:
    """List everything that is wrong with a document.

    Each with its line and what to type instead. Runs nothing.

    Example: `stepflow check workflow.md`
    """
    from stepflow.cli import diagnostics  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.registry import check  # noqa: PLC0415 - likewise
    from stepflow.workflow import choose, read_text, split_path  # noqa: PLC0415 - likewise

    path, wanted = split_path(file)
    workflows, found = check(read_text(path), path)
    if wanted and workflows:
        choose(workflows, path, wanted)
    typer.echo(diagnostics.as_json(found) if json else diagnostics.as_text(path, workflows, found))
    return 2 if any(problem.severity == "error" for problem in found) else 0
