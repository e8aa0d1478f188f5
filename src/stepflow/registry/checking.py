"""All that is wrong with a document, its workflows resolved against the installed playbooks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from stepflow.errors import Diagnostic, DocumentError
from stepflow.markdown import Source
from stepflow.registry.plugins import Registry
from stepflow.registry.resolution import ResolvedWorkflow, resolve
from stepflow.registry.undeclared import undeclared, unknown_values
from stepflow.workflow import Workflow, parse, with_sources

_WIRING = "SF306"


def require(workflow: Workflow, registry: Registry | None = None, *, strict: bool = False) -> ResolvedWorkflow:
    """Resolve a workflow for a run; `strict` refuses commands that read or make what no field names.

    Raises `DocumentError` with all diagnostics when one of them is an error.
    """
    resolved = resolve(workflow, registry)
    found = (*resolved.diagnostics, *unknown_values(resolved), *(undeclared(resolved, strict=True) if strict else ()))
    if any(problem.severity == "error" for problem in found):
        raise DocumentError(with_sources(found))
    return resolved


def check(
    text: str, file: str, registry: Registry | None = None, *, strict: bool = False
) -> tuple[Sequence[Workflow], tuple[Diagnostic, ...]]:
    """Parse a document and resolve every workflow in it. Returns the workflows and the diagnostics by line."""
    workflows, problems = parse(text, file)
    found = list(problems)
    starts = [workflow.span.line for workflow in workflows]
    wrong = {bisect_right(starts, problem.span.line) for problem in problems if problem.severity == "error"}
    for at, workflow in enumerate(workflows, 1):
        resolved = resolve(workflow, registry)
        broken = wrong & {0, at}
        # Where edges are wrong, a missing handoff is only a consequence.
        found += [problem for problem in resolved.diagnostics if not (broken and problem.code == _WIRING)]
        found += executed(resolved)
        if not broken:
            found += [*unknown_values(resolved), *undeclared(resolved, strict=strict)]
    source = Source(text)
    found.sort(key=lambda problem: (problem.span.line, problem.span.column))
    return workflows, tuple(replace(problem, source=source.line(problem.span.line)) for problem in found)


def executed(resolved: ResolvedWorkflow) -> list[Diagnostic]:
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
