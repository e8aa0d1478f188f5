"""`stepflow check`: everything that is wrong with a document."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from stepflow.cli.options import RefuseUndeclared

if TYPE_CHECKING:
    from stepflow.errors import Diagnostic
    from stepflow.workflow import Workflow


def command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The workflow: `workflow.md`, or `FILE#heading`.")],
    *,
    strict: RefuseUndeclared = False,
    json: Annotated[bool, typer.Option("--json", help='`{"diagnostics": [...]}` on stdout.')] = False,
) -> int:
    """List everything that is wrong with a document.

    Each problem has its line and what to type instead. Nothing is run.

    Example: `stepflow check workflow.md`
    """
    from stepflow.registry import check  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.workflow import choose, concerning, read_text, split_path  # noqa: PLC0415 - likewise

    path, wanted = split_path(file)
    workflows, found = check(read_text(path), path, strict=strict)
    if wanted and workflows:
        chosen = choose(workflows, path, wanted)
        workflows, found = (chosen,), concerning(chosen, workflows, found)
    sys.stdout.write((as_json(found) if json else as_text(file, workflows, found)) + "\n")
    return 2 if any(problem.severity == "error" for problem in found) else 0


def as_json(found: Sequence[Diagnostic]) -> str:
    """Return `{"diagnostics": [{code, severity, file, line, column, message, hint}]}`."""
    import json  # noqa: PLC0415 - keeps `--help` quick

    from stepflow.cli.failure import capped  # noqa: PLC0415 - likewise

    rows = [
        {
            "code": problem.code,
            "severity": problem.severity,
            "file": problem.span.file,
            "line": problem.span.line,
            "column": problem.span.column,
            "message": problem.message,
            "hint": problem.hint,
        }
        for problem in capped(found)
    ]
    return json.dumps({"diagnostics": rows}, indent=2, ensure_ascii=False)


def as_text(file: str, workflows: Sequence[Workflow], found: Sequence[Diagnostic]) -> str:
    """Format each diagnostic with its line and a caret, then what was read, and the number of each kind."""
    from stepflow.cli.failure import capped, caret  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.workflow import listed  # noqa: PLC0415 - likewise

    parts = [caret(problem) for problem in capped(found)]
    counts = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for severity, word in (("error", "error"), ("warning", "warning"), ("info", "remark"))
        if (count := sum(problem.severity == severity for problem in found))
    ]
    steps = sum(len(workflow.steps) for workflow in workflows)
    what = f"{file}: {steps} {'step' if steps == 1 else 'steps'}"
    if len(workflows) > 1:
        names = listed((f"`{file}#{workflow.name}`" for workflow in workflows), len(workflows), ", ")
        what += f" in {len(workflows)} workflows: {names}"
    return "\n\n".join([*parts, f"{what}; {', '.join(counts) or 'no problem found'}"])
