"""Inspects before anything is done: what is desired, recorded and observed. The result holds the plan."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

from stepflow.blame import blaming
from stepflow.engine.checks import CheckResult, Nowhere, WithHandoffs, ask, checks_of
from stepflow.engine.declared import require_declared
from stepflow.engine.desired import DesiredStep, NoPlaybook, desired_step
from stepflow.engine.disk import compare
from stepflow.engine.documents import compare_documents
from stepflow.engine.history import Past, accept, as_accepted, present, recognised, recorded, with_asked, with_drift
from stepflow.engine.meaning import Meaning
from stepflow.engine.outside import Outside, look_outside
from stepflow.errors import MachineError, StepflowError, TemporaryError, UsageError
from stepflow.handoff import Handoff
from stepflow.plan import NOT_LOOKED_AT, Facts, Plan, make_plan
from stepflow.playbook import StepInput
from stepflow.registry import ResolvedStep
from stepflow.targets import opened
from stepflow.targets.actions import Action
from stepflow.targets.contract import Asking, Desired, Naming, Observed, Provider, Site, Snapshot, Target
from stepflow.targets.converge import whole
from stepflow.targets.resolved import Resolved
from stepflow.workflow import Workflow, listed
from stepflow.workload import Declaration, Live, ServerKind

SILENCE = 5.0  # seconds without an answer after which a check of what is ready is late
_GONE = "its step is gone from the document"
_SERVER_GONE = "no step needs it any more; its data stays"


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform to work on: a workflow with its steps resolved, its site, and the provider of its target."""

    document: str  # as it was named in the call
    workflow: Workflow
    resolved: Sequence[ResolvedStep]
    site: Site
    provider: Provider

    @property
    def target(self) -> str:
        """The name of the target."""
        return self.provider.name

    @property
    def out(self) -> str:
        """The path of the rendered source, relative where it lies in the directory with the state: that may move."""
        directory, out = self.site.state.absolute().parents[1], Path(os.path.normpath(self.site.out))
        return str(out.relative_to(directory)) if out.is_relative_to(directory) else str(self.site.out)

    def open(self) -> Target:
        """Open the target. Raises `MachineError` when its extra is not installed."""
        return opened(self.provider, self.site)

    def steps(self) -> Mapping[int, ResolvedStep]:
        """Return the steps by number, in the order of the document: a step comes after those that it relies on."""
        return {each.step.number: each for each in self.resolved}


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found: all that a run needs besides its options."""

    platform: Platform
    past: Past  # by the numbers of the document
    desired: Mapping[int, DesiredStep]
    snapshot: Snapshot
    target: Target | None  # None: there is nothing for it to do
    live: Live
    plan: Plan
    began: float  # by the monotonic clock: the survey is part of a run's time
    outside: Outside
    unseen: str = ""  # why the target could not be inspected: the plan then assumes that what was created still exists
    accepted: tuple[int, ...] = ()  # steps whose changes are accepted
    unasked: frozenset[int] = frozenset()  # finished steps whose checks wait until what is down runs again


async def survey(
    platform: Platform,
    past: Past,
    *,
    forced: Collection[int] = (),
    accepted: Collection[int] = (),
    blindly: bool = False,
) -> Survey:
    """Inspect everything, concurrently where that takes time, and plan. Changes nothing.

    `forced` are steps to do again in any case, with all that relies on them, as are those that an earlier run was asked
    for and has not done since; `accepted` are those whose changes are to be taken as made. Where the target cannot be
    inspected, `blindly` plans as if all that finished steps made were still there; otherwise it raises `MachineError`
    or `TemporaryError`. Raises `UsageError` for an option that names what no step declares, and for a step that cannot
    be accepted.
    """
    began = time.monotonic()
    past = recognised(past, present(platform.resolved))
    outside = look_outside(platform.site)
    desired: dict[int, DesiredStep] = {}
    for number, resolved in platform.steps().items():
        handoffs = {taken: desired[taken].handoff for taken in (*resolved.takes, *resolved.collects)}
        desired[number] = ask_playbook(platform, resolved, handoffs, desired, past, outside=outside)
    require_variables(desired.values(), outside)
    require_references(desired.values(), desired.values())
    used = past.workloads or any(each.declaration.deploys for each in desired.values())
    target = platform.open() if used else None
    if isinstance(target, Naming) and not any(each.provisional for each in desired.values()):
        target.require_named([each.declaration for each in desired.values()])
    snapshot, unseen = await _observed(target, blindly=blindly)
    live: Live = target.live() if target else Nowhere(platform.target, platform.site.out)
    snapshot = Snapshot(_as_made(desired, past)) if unseen else snapshot
    for number in accepted:
        desired[number], past = accept(desired[number], past, snapshot)
    workloads = declared_workloads(desired.values())
    actions = {
        number: reconciled(None if unseen else target, each, workloads, snapshot) for number, each in desired.items()
    }
    past = with_drift(past, [n for n in accepted if any(each.verb != "keep" for each in actions[n])])
    standing = frozenset(number for number in desired if _stands(desired[number], past, actions[number]))
    down = any(each.verb != "keep" for found in actions.values() for each in found)
    unasked = _to_ask_later(platform, desired, standing) if down and not unseen else frozenset()
    asked = () if unseen else (desired[number] for number in standing - unasked)
    answers = await postconditions(asked, live)
    facts = [
        replace(each, unasked=each.number in unasked, unseen=bool(unseen))
        for each in with_asked(_facts(platform, desired, past, actions, answers), past, forced, accepted)
    ]
    made = past.workloads - _declared(desired, past)
    causes = {name: _SERVER_GONE if each.kind == "server" else _GONE for name, each in snapshot.items() if name in made}
    removals = target.removals(causes, snapshot) if target and causes else ()
    known = not any(each.provisional for each in desired.values())
    plan = make_plan(
        platform.site.platform,
        platform.target,
        facts,
        removals=removals,
        left_over=len(past.files.left_over(rendered(desired.values()), platform.site.out)) if known else 0,
        documents=compare_documents(target, desired.values(), past, platform.site.out),
        unseen=bool(unseen),
    )
    found = Survey(platform, past, desired, snapshot, target, live, plan, began, outside, unseen)
    return replace(found, accepted=tuple(accepted), unasked=unasked)


async def require(found: Survey) -> None:
    """Raise the `StepflowError` with which a run is refused before its first step, unless it does nothing anyway."""
    target = found.target
    if target is None or found.plan.idle:
        return
    await target.require()
    if not isinstance(target, Asking):
        return
    workloads = declared_workloads(found.desired.values())
    for step in found.plan.steps:
        each = found.desired[step.facts.number]
        if step.action != "reuse" and each.declaration.deploys:
            target.require_given(for_target(each, workloads), found.snapshot)


def _to_ask_later(platform: Platform, desired: Mapping[int, DesiredStep], standing: Collection[int]) -> frozenset[int]:
    """Return the finished steps whose checks may fail only because something is down: what deploys, and what relies on
    or takes from a step that does not stand.
    """
    needs: dict[int, set[int]] = {n: {*each.takes, *each.collects} for n, each in platform.steps().items()}
    for edge in platform.workflow.edges:
        needs[edge.target].add(edge.source)
    unsettled: set[int] = set()
    for number in desired:  # in the order of the document: what it needs was looked at before
        if number not in standing or desired[number].declaration.deploys or needs[number] & unsettled:
            unsettled.add(number)
    return frozenset(unsettled & set(standing))


def require_references(steps: Iterable[DesiredStep], platform: Collection[DesiredStep]) -> None:
    """Raise `PermanentError` for a step that refers to what no step of the platform declares, once all are known."""
    if any(each.provisional for each in platform):
        return
    declared: dict[str, set[str]] = {kind: set() for kind in get_args(ServerKind)}
    declared |= {each.name: set(each.ports) for each in declared_workloads(platform)}
    for each in steps:
        require_declared(each.playbook, each.input, each.workloads, declared)


def require_variables(steps: Iterable[DesiredStep], outside: Outside) -> None:
    """Raise `UsageError` for environment variables that steps take and that are not set."""
    lacking = {each.input.number: [*outside.lacking(each.declaration.jobs)] for each in steps}
    said = [f"`{name}` of step {number}" for number, names in lacking.items() for name in names]
    if said:
        name = next(names for names in lacking.values() if names)[0]
        are = "environment variable is" if len(said) == 1 else "environment variables are"
        problem = f"{len(said)} {are} not set: {listed(said, len(said), ', ')}"
        raise UsageError(problem, hint=f"`export {name}=...`, or write `{name}=...` into the file `.env`")


def rendered(desired: Iterable[DesiredStep]) -> frozenset[str]:
    """Return the paths that the steps of the platform render, as far as they are known."""
    return frozenset(path for each in desired for path in each.tree)


def declared_workloads(desired: Iterable[DesiredStep]) -> tuple[Resolved, ...]:
    """List the workloads of the whole platform, as far as they are known."""
    return tuple(workload for each in desired for workload in each.workloads)


def for_target(each: DesiredStep, workloads: tuple[Resolved, ...]) -> Desired:
    """Return the desired state of a step, for the target; `workloads` are those of the whole platform."""
    platform = tuple(workload.workload for workload in workloads)
    return Desired(each.declaration, each.digests, platform, {**each.tree, **each.edited}, workloads)


def reconciled(
    target: Target | None, each: DesiredStep, workloads: tuple[Resolved, ...], snapshot: Snapshot
) -> tuple[Action, ...]:
    """Return the actions for a step's declaration; without a target that can be inspected, by the names alone."""
    if not each.declaration.deploys:
        return ()
    desired = for_target(each, workloads)
    if target:
        return target.reconcile(desired, snapshot)
    return tuple(
        replace(each, cause=NOT_LOOKED_AT) if each.verb == "keep" else each for each in whole(desired, snapshot)
    )


def ask_playbook(
    platform: Platform,
    resolved: ResolvedStep,
    handoffs: Mapping[int, Handoff],
    desired: Mapping[int, DesiredStep],
    past: Past,
    *,
    outside: Outside,
    final: bool = False,
) -> DesiredStep:
    """Ask the playbook of a step, with these handoffs; `final` when their steps have run.

    Raises `StepflowError` when the playbook does, and `PluginError` that blames it for any other exception.
    """
    step = resolved.step
    playbook = resolved.playbook or NoPlaybook()
    given = StepInput(
        number=step.number,
        title=step.title,
        prompt=step.prompt,
        delivers=step.handoff,
        platform=platform.site.platform,
        target=platform.target,
        settings=resolved.settings,
        features=frozenset(resolved.features),
        handoffs=dict(sorted(handoffs.items())),
        declarations={number: desired[number].declaration for number in resolved.collects},
        containers=platform.provider.containers,
        shared=platform.provider.shared,
    )
    last = past.last.get(step.number)
    done = last is not None and last.record.outcome == "done"
    written = last.written if last and done else None
    sources = {number: (desired[number].playbook.name, past.declared[number].key) for number in handoffs}
    files = past.files
    drift = partial(compare, base=files.base, last=files.paths.get(step.number, ()), out=platform.site.out)
    options, provider = platform.site.options, platform.provider
    try:
        with blaming("playbook", playbook.name, f"at step {step.number}"):
            asked = desired_step(
                playbook, given, drift, sources, written, provider=provider, options=options, outside=outside, done=done
            )
        return as_accepted(asked, last.accepted) if last else asked
    except StepflowError:
        if final or all(_known(desired[number], past) for number in handoffs):
            raise
        # It needs what a job has yet to write, and is asked again when that is known. Until then it stays as it was.
        parts = Meaning(last.record.components if last else {})
        nothing = playbook.gives.model_construct()
        return DesiredStep(playbook, given, {}, Declaration(), nothing, nothing, parts, {}, provisional=True)


async def _observed(target: Target | None, *, blindly: bool) -> tuple[Snapshot, str]:
    """Return a snapshot of the target, and why it could not be inspected."""
    try:
        return (await target.observe() if target else Snapshot({})), ""
    except (MachineError, TemporaryError) as error:
        if not blindly:
            raise
        return Snapshot({}), error.message


def _as_made(desired: Mapping[int, DesiredStep], past: Past) -> dict[str, Observed]:
    """Return what finished steps created as if it still existed: as desired, where the record shows no change."""
    seen: dict[str, Observed] = {}
    for each in desired.values():
        record = recorded(past, each)
        if record is None or record.outcome != "done":
            continue
        same = record.components == each.components
        for name, digest in each.digests.items():
            copies = each.replicas.get(name, 1)
            seen[name] = Observed(name, "workload", "ready", digest if same else "?", copies, copies, "", ())
        seen |= {name: Observed(name, "server", "ready", "", 1, 1, "", ()) for name in each.servers}
    return seen


def _declared(desired: Mapping[int, DesiredStep], past: Past) -> set[str]:
    """Name the workloads and servers that steps declare; one that cannot be asked yet keeps what it declared last."""
    named = {name for each in desired.values() for name in (*each.digests, *each.servers)}
    unasked = (number for number, each in desired.items() if each.provisional and number in past.last)
    return named.union(*(past.last[number].workloads for number in unasked))


def _known(desired: DesiredStep, past: Past) -> bool:
    """Return whether a handoff is final, as far as can be told before its step runs."""
    last = past.last.get(desired.input.number)
    if desired.outdated:
        return False
    return not (desired.declaration.jobs or desired.provisional) or (last is not None and last.record.outcome == "done")


async def postconditions(finished: Iterable[DesiredStep], live: Live) -> dict[int, Sequence[CheckResult]]:
    """Run the postconditions of the steps that look finished, for as long as their checks may take.

    A check of files alone is not asked again: they are compared with what it last passed. The target has just found
    ready what a step deploys, by its own probes: an answer that is late there shows a busy machine, and is not waited
    for.
    """

    async def answers(each: DesiredStep) -> tuple[int, Sequence[CheckResult]]:
        number, silence = each.input.number, SILENCE if each.declaration.deploys else None
        checks = [check for check in checks_of(each) if check.when == "step" and not check.of_files]
        ask_it = partial(ask, number, live=WithHandoffs(live, each.known_handoffs), playbook=each.playbook.name)
        return number, await asyncio.gather(*(ask_it(check=each, silence=silence) for each in checks))

    return {number: found for number, found in await asyncio.gather(*map(answers, finished)) if found}


def broken(answers: Iterable[CheckResult]) -> tuple[str, ...]:
    """Name the postconditions that do not hold."""
    failed = (each for each in answers if not (each.passed or each.late))
    return tuple(f"check `{each.check.name}` failed: {each.evidence}" for each in failed)


def late(answers: Iterable[CheckResult]) -> tuple[str, ...]:
    """Name the postconditions that had no answer in time."""
    return tuple(f"check `{each.check.name}` has no answer yet" for each in answers if each.late)


def _stands(desired: DesiredStep, past: Past, actions: Iterable[Action]) -> bool:
    """Return whether a step looks finished: unchanged since it was done, and all it made is as desired."""
    record = recorded(past, desired)
    if record is None or record.outcome != "done" or record.components != desired.components:
        return False
    return all(action.verb == "keep" for action in actions)


def _facts(
    platform: Platform,
    desired: Mapping[int, DesiredStep],
    past: Past,
    actions: Mapping[int, tuple[Action, ...]],
    answers: Mapping[int, Iterable[CheckResult]],
) -> list[Facts]:
    relies: dict[int, list[int]] = {number: [] for number in desired}
    for edge in platform.workflow.edges:
        relies[edge.target].append(edge.source)
    steps, found = platform.steps(), []
    for number, each in desired.items():
        resolved, asked = steps[number], answers.get(number, ())
        outdated = (f"its handoff no longer fits: {each.outdated}",) if each.outdated else ()
        found.append(
            Facts(
                number=number,
                title=resolved.step.title,
                playbook=each.playbook.name,
                relies=tuple(sorted(relies[number])),
                takes=tuple(sorted({*resolved.takes, *resolved.collects})),
                components=each.components,
                record=recorded(past, each),
                actions=actions[number],
                features=tuple(sorted(resolved.features.items())),
                files=each.files,
                provisional=each.provisional,
                volatile=bool(each.declaration.jobs or each.provisional or each.outdated),
                reads=any(job.inputs for job in each.declaration.jobs),
                checked=bool(asked),
                broken=(*outdated, *broken(asked)),
                late=late(asked),
                note=past.notes.get(number, ""),
            )
        )
    return found
