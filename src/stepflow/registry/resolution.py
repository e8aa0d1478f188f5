"""Resolves a workflow against the installed playbooks: typed inputs, features, and which handoff each step takes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from stepflow.blame import blaming
from stepflow.errors import Diagnostic, DocumentError, StepflowError
from stepflow.markdown import Source
from stepflow.playbook import Settings
from stepflow.registry.inputs import (
    misspelt_keys,
    read_features,
    read_settings,
    select,
    unexplained,
    unknown_input,
)
from stepflow.registry.plugins import Registry, installed
from stepflow.registry.wiring import ResolvedStep, wire
from stepflow.workflow import Edge, Step, Workflow, parse, with_sources

_WIRING = "SF306"
_LONGEST_COMMAND = 131_071  # bytes of one argument of a process on Linux (MAX_ARG_STRLEN, execve(2))


@dataclass(frozen=True, slots=True)
class ResolvedWorkflow:
    """A workflow with its `collects` edges, its steps resolved, and every problem found on the way."""

    workflow: Workflow
    steps: tuple[ResolvedStep, ...]
    diagnostics: tuple[Diagnostic, ...] = field(default=())


def resolve(workflow: Workflow, registry: Registry | None = None) -> ResolvedWorkflow:
    """Look up every playbook, read inputs and features, and wire the handoffs.

    What a playbook takes comes from the nearest steps that give it: those that the step relies on, and only if none of
    these does, those that they rely on, and so on. What it collects comes from every earlier step that gives it. Never
    raises: all problems are in `diagnostics`, in the order of the document.
    """
    known = registry or installed()
    problems: list[Diagnostic] = []
    steps = [_resolve_step(step, known, problems) for step in workflow.steps]
    relies: dict[int, list[int]] = {}
    for edge in workflow.edges:
        if edge.kind == "relies":
            relies.setdefault(edge.target, []).append(edge.source)
    wired, missing = wire(steps, relies)
    problems += missing
    edges = tuple(edge for resolved in wired for edge in _collects(resolved, relies))
    problems.sort(key=lambda problem: (problem.span.line, problem.span.column))
    return ResolvedWorkflow(replace(workflow, edges=workflow.edges + edges), wired, tuple(problems))


def require(workflow: Workflow, registry: Registry | None = None) -> ResolvedWorkflow:
    """Resolve a workflow for a run. Raises `DocumentError` with all diagnostics when one of them is an error."""
    resolved = resolve(workflow, registry)
    if any(problem.severity == "error" for problem in resolved.diagnostics):
        raise DocumentError(with_sources(resolved.diagnostics))
    return resolved


def _resolve_step(step: Step, registry: Registry, problems: list[Diagnostic]) -> ResolvedStep:
    nothing = ResolvedStep(step, None, Settings(), {})
    if step.playbook is None:
        problems += [unknown_input(None, given) for given in unexplained(step)]
        return nothing
    try:
        playbook = registry.load(step.playbook)
    except StepflowError as error:
        given = step.fields.get("playbook")
        span = given.value_span if given else step.span
        problems.append(Diagnostic("SF301", "error", span, error.message, error.hint))
        problems += [unknown_input(None, given) for given in misspelt_keys(step)]
        return nothing
    settings, wrong_inputs = read_settings(playbook, step)
    with blaming("playbook", playbook.name, f"to read the features of step {step.number}"):
        asked, wrong_features = read_features(playbook, step)
        features = select(playbook.features, step.prompt) if asked is None else asked
    problems += wrong_inputs + wrong_features
    if playbook.executes_prompt and (size := len(step.prompt.encode())) > _LONGEST_COMMAND:
        message = f"the command of step {step.number} has {size:,} bytes, and the system takes at most"
        hint = "put it into a file, and let the prompt run that: `bash build.sh`"
        problems.append(
            Diagnostic("SF308", "error", step.fields["prompt"].value_span, f"{message} {_LONGEST_COMMAND:,}", hint)
        )
    return ResolvedStep(step, playbook, settings, features)


def _collects(resolved: ResolvedStep, relies: Mapping[int, list[int]]) -> tuple[Edge, ...]:
    """Return the edges to collected steps that the document does not already say."""
    if resolved.playbook is None:
        return ()
    step = resolved.step
    said = set(relies.get(step.number, ()))
    reason = f"{resolved.playbook.name} collects every earlier handoff"
    playbook_field = step.fields.get("playbook")
    place = playbook_field.value_span if playbook_field else step.span
    return tuple(
        Edge(source, step.number, reason, place, "collects") for source in resolved.collects if source not in said
    )


def check(text: str, file: str, registry: Registry | None = None) -> tuple[Sequence[Workflow], tuple[Diagnostic, ...]]:
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
