"""All that is wrong with a document, in one pass: what it says, and what the installed playbooks make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stepflow.errors import Diagnostic
from stepflow.markdown import Source
from stepflow.registry.plugins import Registry
from stepflow.registry.resolution import Resolved, resolve
from stepflow.workflow import Workflow, parse

_WIRING = "SF306"


def check(text: str, file: str, registry: Registry | None = None) -> tuple[Sequence[Workflow], tuple[Diagnostic, ...]]:
    """Parse a document and resolve every workflow in it. Gives the workflows and the diagnostics by line."""
    workflows, problems = parse(text, file)
    broken = any(problem.severity == "error" for problem in problems)
    found = list(problems)
    for workflow in workflows:
        resolved = resolve(workflow, registry)
        # Where edges are wrong, a handoff that is missing is a consequence and no news.
        found += [problem for problem in resolved.diagnostics if not (broken and problem.code == _WIRING)]
        found += executed(resolved)
    source = Source(text)
    found.sort(key=lambda problem: (problem.span.line, problem.span.column))
    return workflows, tuple(replace(problem, source=source.line(problem.span.line)) for problem in found)


def executed(resolved: Resolved) -> list[Diagnostic]:
    """Report each step whose prompt is executed as a command."""
    return [
        Diagnostic(
            "SF307",
            "info",
            made.step.fields["prompt"].value_span,
            f"the prompt of step {made.step.number} is a command: `{made.playbook.name}` executes it",
            "read it as you would read a script before you run it",
        )
        for made in resolved.steps
        if made.playbook and made.playbook.executes_prompt and "prompt" in made.step.fields
    ]
