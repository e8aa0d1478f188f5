"""How a list of diagnostics is printed: for people, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from stepflow.cli.failure import caret
from stepflow.errors import Diagnostic
from stepflow.workflow import Workflow


def as_json(found: Sequence[Diagnostic]) -> str:
    """Return `{"diagnostics": [{code, severity, file, line, column, message, hint}]}`."""
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
        for problem in found
    ]
    return json.dumps({"diagnostics": rows}, indent=2, ensure_ascii=False)


def as_text(file: str, workflows: Sequence[Workflow], found: Sequence[Diagnostic]) -> str:
    """Format each diagnostic with its line and a caret, then what was read, and the number of each kind."""
    parts = [caret(problem) for problem in found]
    counts = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for severity, word in (("error", "error"), ("warning", "warning"), ("info", "remark"))
        if (count := sum(problem.severity == severity for problem in found))
    ]
    steps = sum(len(workflow.steps) for workflow in workflows)
    what = f"{file}: {steps} {'step' if steps == 1 else 'steps'}"
    if len(workflows) > 1:
        names = ", ".join(f"`{file}#{workflow.name}`" for workflow in workflows)
        what += f" in {len(workflows)} workflows: {names}"
    return "\n\n".join([*parts, f"{what}; {', '.join(counts) or 'no problem found'}"])
