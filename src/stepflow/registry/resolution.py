"""Resolves a workflow against the installed playbooks: typed inputs, features, and which handoff each step takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from stepflow.blame import blaming
from stepflow.errors import Diagnostic, StepflowError
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
from stepflow.workflow import Edge, Step, Workflow
from stepflow.workload import LONGEST_ARGUMENT


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
    if playbook.executes_prompt and (size := len(step.prompt.encode())) > LONGEST_ARGUMENT:
        message = f"the command of step {step.number} has {size:,} bytes, and the system takes at most"
        hint = "put it into a file, and let the prompt run that: `bash build.sh`"
        problems.append(
            Diagnostic("SF308", "error", step.fields["prompt"].value_span, f"{message} {LONGEST_ARGUMENT:,}", hint)
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
