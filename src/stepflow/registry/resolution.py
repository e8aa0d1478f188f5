"""Resolves a workflow against the installed playbooks: typed inputs, features, and which handoff each step takes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from stepflow.blame import blaming
from stepflow.errors import Diagnostic, DocumentError, StepflowError
from stepflow.markdown import Source
from stepflow.playbook import Playbook, Settings, Takes
from stepflow.registry.inputs import (
    misspelt_keys,
    read_features,
    read_settings,
    select,
    unexplained,
    unknown_input,
)
from stepflow.registry.plugins import Registry, installed
from stepflow.workflow import Edge, Step, Workflow, parse, with_sources

_WIRING = "SF306"
_LONGEST_COMMAND = 131_071  # bytes of one argument of a process on Linux (MAX_ARG_STRLEN, execve(2))


@dataclass(frozen=True, slots=True)
class ResolvedStep:
    """A step with its playbook and everything known before it runs."""

    step: Step
    playbook: Playbook | None
    settings: Settings
    features: Mapping[str, str]  # feature -> the words that selected it, or `default`
    takes: tuple[int, ...] = ()  # steps it relies on whose handoff it takes
    collects: tuple[int, ...] = ()  # earlier steps whose handoff it collects


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
    by_number = {resolved.step.number: resolved for resolved in steps}
    wired = [_wire(resolved, by_number, relies, problems) for resolved in steps]
    edges = tuple(edge for resolved in wired for edge in _collects(resolved, relies))
    problems.sort(key=lambda problem: (problem.span.line, problem.span.column))
    return ResolvedWorkflow(replace(workflow, edges=workflow.edges + edges), tuple(wired), tuple(problems))


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


def _wire(
    resolved: ResolvedStep,
    steps: Mapping[int, ResolvedStep],
    relies: Mapping[int, list[int]],
    problems: list[Diagnostic],
) -> ResolvedStep:
    if resolved.playbook is None:
        return resolved
    number = resolved.step.number
    takes: set[int] = set()
    collects: set[int] = set()
    for taken in resolved.playbook.takes:
        if taken.collects:
            found = {other for other in steps if other < number and _gives(steps[other], taken)}
            collects |= found
        else:
            found = _nearest(number, taken, steps, relies)
            takes |= found
        if taken.required and not found:
            problems.append(_missing(resolved, taken, steps, relies.get(number, [])))
    return replace(resolved, takes=tuple(sorted(takes)), collects=tuple(sorted(collects)))


def _nearest(number: int, taken: Takes, steps: Mapping[int, ResolvedStep], relies: Mapping[int, list[int]]) -> set[int]:
    seen: set[int] = set()
    level = {source for source in relies.get(number, []) if source in steps}
    while level:
        found = {source for source in level if _gives(steps[source], taken)}
        if found:
            return found
        seen |= level
        level = {above for source in level for above in relies.get(source, []) if above in steps} - seen
    return set()


def _gives(resolved: ResolvedStep, taken: Takes) -> bool:
    return resolved.playbook is not None and issubclass(resolved.playbook.gives, taken.handoff)


def _missing(resolved: ResolvedStep, taken: Takes, steps: Mapping[int, ResolvedStep], relies: list[int]) -> Diagnostic:
    step = resolved.step
    assert resolved.playbook is not None
    wanted = taken.handoff.__name__
    message = f"playbook `{resolved.playbook.name}` of step {step.number} takes a `{wanted}`, "
    message += "but no earlier step gives one" if taken.collects else _relied_on(relies)
    givers = [other for other, its in steps.items() if other < step.number and _gives(its, taken)]
    hint = f"add a step before it whose playbook gives a `{wanted}`: `stepflow playbooks` lists what each gives"
    if givers:
        hint = f"step {givers[-1]} gives one: write `- RelyPreviousStep: Step {givers[-1]}`"
    given = step.fields.get("relypreviousstep")
    return Diagnostic("SF306", "error", given.span if given else step.span, message, hint)


def _relied_on(relies: list[int]) -> str:
    if not relies:
        return "but the step relies on no other"
    names = " and ".join(f"step {number}" for number in sorted(relies))
    return f"but {names}, which it relies on, and the steps before {'it' if len(relies) == 1 else 'them'} give none"


def _collects(resolved: ResolvedStep, relies: Mapping[int, list[int]]) -> tuple[Edge, ...]:
    """Return the edges to collected steps that the document does not already say."""
    if resolved.playbook is None:
        return ()
    step = resolved.step
    said = relies.get(step.number, [])
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
