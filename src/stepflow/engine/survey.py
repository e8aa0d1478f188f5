"""Inspects before anything is done: what is desired, recorded and observed. The result holds the plan."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from stepflow.engine.checks import CheckResult, Nowhere, WithHandoffs, ask
from stepflow.engine.desired import DesiredStep, NoPlaybook, desired_step
from stepflow.engine.disk import compare
from stepflow.engine.history import Past, accept, as_accepted, present, recognised, recorded
from stepflow.engine.meaning import Meaning
from stepflow.errors import MachineError, PermanentError, StepflowError, TemporaryError
from stepflow.handoff import Handoff
from stepflow.plan import Facts, Plan, make_plan
from stepflow.playbook import Playbook, StepInput
from stepflow.registry import ResolvedStep
from stepflow.targets import Desired, Naming, Observed, Provider, Site, Snapshot, Target, opened
from stepflow.targets.actions import Action
from stepflow.targets.converge import whole
from stepflow.workflow import Workflow
from stepflow.workload import Declaration, Live, Workload


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

    `forced` are steps to do again in any case, with all that relies on them, `accepted` those whose changes are to be
    taken as made. Where the target cannot be inspected, `blindly` plans as if all that finished steps made were still
    there; otherwise it raises `MachineError` or `TemporaryError`. Raises `UsageError` for an option that names what no
    step declares, and for a step that cannot be accepted.
    """
    began = time.monotonic()
    past = recognised(past, present(platform.resolved))
    desired: dict[int, DesiredStep] = {}
    for number, resolved in platform.steps().items():
        handoffs = {taken: desired[taken].handoff for taken in (*resolved.takes, *resolved.collects)}
        desired[number] = ask_playbook(platform, resolved, handoffs, desired, past)
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
    standing = frozenset(number for number in desired if _stands(desired[number], past, actions[number]))
    down = any(each.verb != "keep" for found in actions.values() for each in found)
    unasked = _to_ask_later(platform, desired, standing) if down and not unseen else frozenset()
    asked = () if unseen else (desired[number] for number in standing - unasked)
    answers = await postconditions(asked, live)
    facts = [
        replace(each, unasked=each.number in unasked) for each in _facts(platform, desired, past, actions, answers)
    ]
    made = [each for each in snapshot.values() if each.name in past.workloads - _declared(desired, past)]
    servers = [each.name for each in made if each.kind == "server"]
    orphans = {each.name for each in made} - {*servers}
    again = _with_dependants(forced, facts)
    name = platform.site.platform
    plan = make_plan(name, platform.target, facts, orphans=orphans, servers=servers, forced=again)
    return Survey(platform, past, desired, snapshot, target, live, plan, began, unseen, tuple(accepted), unasked)


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


def declared_workloads(desired: Iterable[DesiredStep]) -> tuple[Workload, ...]:
    """List the workloads of the whole platform, as far as they are known."""
    return tuple(workload for each in desired for workload in each.declaration.workloads)


def reconciled(
    target: Target | None, each: DesiredStep, workloads: tuple[Workload, ...], snapshot: Snapshot
) -> tuple[Action, ...]:
    """Return the actions for a step's declaration; without a target that can be inspected, by the names alone."""
    if not each.declaration.deploys:
        return ()
    desired = Desired(each.declaration, each.digests, workloads, each.tree)
    return target.reconcile(desired, snapshot) if target else whole(desired, snapshot)


def ask_playbook(
    platform: Platform,
    resolved: ResolvedStep,
    handoffs: Mapping[int, Handoff],
    desired: Mapping[int, DesiredStep],
    past: Past,
    *,
    final: bool = False,
) -> DesiredStep:
    """Ask the playbook of a step, with these handoffs; `final` when their steps have run.

    Raises `StepflowError` when the playbook does, and `PermanentError` that blames it for any other exception.
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
    )
    last = past.last.get(step.number)
    written = last.written if last and last.record.outcome == "done" else None
    sources = {number: (desired[number].playbook.name, past.declared[number].key) for number in handoffs}
    drift = partial(compare, base=past.base, last=past.paths.get(step.number, ()), out=platform.site.out)
    try:
        options, provider = platform.site.options, platform.provider
        asked = desired_step(playbook, given, drift, sources, written, provider=provider, options=options)
        return as_accepted(asked, last.accepted) if last else asked
    except Exception as error:
        if final or all(_known(desired[number], past) for number in handoffs):
            raise _blamed(error, playbook, given) from error
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


def _blamed(error: Exception, playbook: Playbook, step: StepInput) -> StepflowError:
    """Return the error to report: a plugin's bug is not stepflow's."""
    if isinstance(error, StepflowError):
        return error
    said = f"the playbook `{playbook.name}` failed at step {step.number}: {type(error).__name__}: {error}"
    return PermanentError(said, hint=f"it is a bug of the package that brings `{playbook.name}`")


def _known(desired: DesiredStep, past: Past) -> bool:
    """Return whether a handoff is final, as far as can be told before its step runs."""
    last = past.last.get(desired.input.number)
    if desired.outdated:
        return False
    return not (desired.declaration.jobs or desired.provisional) or (last is not None and last.record.outcome == "done")


async def postconditions(finished: Iterable[DesiredStep], live: Live) -> dict[int, Sequence[CheckResult]]:
    """Run the postconditions of the steps that look finished, for as long as their checks may take."""

    async def answers(each: DesiredStep) -> tuple[int, Sequence[CheckResult]]:
        number = each.input.number
        try:
            checks = [check for check in each.playbook.checks(each.input) if check.when == "step"]
        except Exception as error:
            raise _blamed(error, each.playbook, each.input) from error
        context = WithHandoffs(live, each.known_handoffs)
        return number, await asyncio.gather(*(ask(number, check, context) for check in checks))

    return {number: found for number, found in await asyncio.gather(*map(answers, finished)) if found}


def broken(answers: Iterable[CheckResult]) -> tuple[str, ...]:
    """Name the postconditions that do not hold."""
    return tuple(f"check `{each.check.name}` failed: {each.evidence}" for each in answers if not each.passed)


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
                volatile=bool(each.declaration.jobs or each.provisional or each.outdated),
                checked=bool(asked),
                broken=(*outdated, *broken(asked)),
                note=past.notes.get(number, ""),
            )
        )
    return found


def _with_dependants(forced: Collection[int], facts: Iterable[Facts]) -> set[int]:
    again = set(forced)
    for each in facts:  # in the order of the document: what it relies on comes before it
        if again.intersection((*each.relies, *each.takes)):
            again.add(each.number)
    return again
