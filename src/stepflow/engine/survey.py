"""Looks before anything is done: what each step wants, what is recorded, what is there. Its result holds the plan."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from stepflow.engine.checks import Answer, Nowhere, ask
from stepflow.engine.history import Past
from stepflow.engine.lying import compare
from stepflow.engine.wanted import NoPlaybook, Wanted, want
from stepflow.errors import MachineError, PermanentError, StepflowError, TemporaryError
from stepflow.handoff import Handoff
from stepflow.plan import Facts, Plan, Seen, make_plan
from stepflow.playbook import Playbook, StepInput
from stepflow.registry import ResolvedStep
from stepflow.targets import Naming, Observed, Site, Target, open_target
from stepflow.workflow import Workflow
from stepflow.workload import Declaration, Live

POSTCONDITION = 3.0  # seconds in which a finished step has to show that it still stands
BROKEN = 0.5  # likewise while something is known to be down, which will be seen to anyway


@dataclass(frozen=True, slots=True)
class Platform:
    """What is to be true, and where: a workflow with its steps resolved, its site, and how to open the target."""

    document: str  # as it was named in the call
    workflow: Workflow
    resolved: Sequence[ResolvedStep]
    site: Site
    target: str = "local"
    open_target: Callable[[str, Site], Target] = open_target

    def steps(self) -> Mapping[int, ResolvedStep]:
        """Give the steps by number, in the order of the document: what one relies on stands before it."""
        return {each.step.number: each for each in self.resolved}


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found: all that a run needs besides its options."""

    platform: Platform
    past: Past
    wanted: Mapping[int, Wanted]
    seen: Mapping[str, Seen]
    observed: Mapping[str, Observed]
    target: Target | None  # None: there is nothing for it to do
    live: Live
    plan: Plan
    began: float  # by the monotonic clock: looking is part of a run's time
    unseen: str = ""  # why nobody could look: the plan takes what was made for what is there


async def survey(platform: Platform, past: Past, *, forced: Collection[int] = (), blindly: bool = False) -> Survey:
    """Look at everything, concurrently where that takes time, and plan. Changes nothing.

    `forced` are steps to do again in any case, with all that relies on them. Where nobody can look, `blindly` plans as
    if all that finished steps made were still there; otherwise `MachineError` or `TemporaryError` is raised. Raises
    `UsageError` for an option that names what no step declares.
    """
    began = time.monotonic()
    wanted: dict[int, Wanted] = {}
    for number, resolved in platform.steps().items():
        handoffs = {taken: wanted[taken].handoff for taken in (*resolved.takes, *resolved.collects)}
        wanted[number] = want_one(platform, resolved, handoffs, wanted, past)
    used = past.workloads or any(each.declaration.deploys for each in wanted.values())
    target = platform.open_target(platform.target, platform.site) if used else None
    if isinstance(target, Naming) and not any(each.provisional for each in wanted.values()):
        target.require_named([each.declaration for each in wanted.values()])
    observed, unseen = await _observed(target, blindly=blindly)
    live: Live = target.live() if target else Nowhere(platform.target, platform.site.out)
    seen = {name: Seen(each.state, each.digest, each.detail, each.replicas) for name, each in observed.items()}
    seen = _as_made(wanted, past) if unseen else seen
    answers = {} if unseen else await _postconditions(wanted, past, seen, live)
    facts = _facts(platform, wanted, past, answers)
    made = {name for name, each in observed.items() if each.kind != "server"} & past.workloads
    orphans = made - _declared(wanted, past)
    again = _with_dependants(forced, facts)
    plan = make_plan(platform.site.platform, platform.target, facts, seen, orphans=orphans, forced=again)
    return Survey(platform, past, wanted, seen, observed, target, live, plan, began, unseen)


def want_one(
    platform: Platform,
    resolved: ResolvedStep,
    handoffs: Mapping[int, Handoff],
    wanted: Mapping[int, Wanted],
    past: Past,
    *,
    final: bool = False,
) -> Wanted:
    """Ask one playbook, with these handoffs; `final` when they are what they will be, for their steps have run.

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
        declarations={number: wanted[number].declaration for number in resolved.collects},
    )
    last = past.last.get(step.number)
    written = last.written if last and last.record.outcome == "done" else None
    sources = {number: wanted[number].playbook.name for number in handoffs}
    lying = partial(compare, base=past.base, out=platform.site.out)
    try:
        return want(playbook, given, lying, sources, written, options=platform.site.options)
    except Exception as error:
        if final or all(_known(wanted[number], past) for number in handoffs):
            raise _blamed(error, playbook, given) from error
        # It needs what a job has yet to write, and is asked again when that is known. Until then, as it was.
        parts = last.record.components if last else {}
        nothing = playbook.gives.model_construct()
        return Wanted(playbook, given, {}, Declaration(), nothing, parts, {}, provisional=True)


async def _observed(target: Target | None, *, blindly: bool) -> tuple[Mapping[str, Observed], str]:
    """Give what is there, and why nobody could look."""
    try:
        return (await target.observe() if target else {}), ""
    except (MachineError, TemporaryError) as error:
        if not blindly:
            raise
        return {}, error.message


def _as_made(wanted: Mapping[int, Wanted], past: Past) -> dict[str, Seen]:
    """Give what finished steps made as if it stood: just as it is wanted, where the record tells of no change."""
    seen: dict[str, Seen] = {}
    for number, each in wanted.items():
        record = past.last[number].record if number in past.last else None
        if record is None or record.outcome != "done":
            continue
        same = record.components == each.components
        for name, digest in each.digests.items():
            seen[name] = Seen("ready", digest if same else "", replicas=each.replicas.get(name, 1))
        seen |= {name: Seen("ready", "") for name in each.servers}
    return seen


def _declared(wanted: Mapping[int, Wanted], past: Past) -> set[str]:
    """Name the workloads that steps declare; one that cannot be asked yet shall keep what it declared last."""
    named = {name for each in wanted.values() for name in each.digests}
    unasked = (number for number, each in wanted.items() if each.provisional and number in past.last)
    return named.union(*(past.last[number].workloads for number in unasked))


def _blamed(error: Exception, playbook: Playbook, step: StepInput) -> StepflowError:
    """Say whose error it is: a plugin's bug is not stepflow's."""
    if isinstance(error, StepflowError):
        return error
    said = f"the playbook `{playbook.name}` failed at step {step.number}: {type(error).__name__}: {error}"
    return PermanentError(said, hint=f"it is a bug of the package that brings `{playbook.name}`")


def _known(wanted: Wanted, past: Past) -> bool:
    """Tell whether a handoff is what it will be, as far as anybody can tell before its step runs."""
    last = past.last.get(wanted.input.number)
    return not (wanted.declaration.jobs or wanted.provisional) or (last is not None and last.record.outcome == "done")


async def _postconditions(
    wanted: Mapping[int, Wanted], past: Past, seen: Mapping[str, Seen], live: Live
) -> dict[int, Sequence[Answer]]:
    """Ask the steps that look finished whether they still stand."""
    finished = [each for each in wanted.values() if _looks_finished(each, past, seen)]
    patience = POSTCONDITION if all(_runs(each, seen) for each in wanted.values()) else BROKEN

    async def answers(each: Wanted) -> tuple[int, Sequence[Answer]]:
        number = each.input.number
        try:
            checks = [check for check in each.playbook.checks(each.input) if check.when == "step"]
        except Exception as error:
            raise _blamed(error, each.playbook, each.input) from error
        asked = (ask(number, check, live, within=min(check.timeout, patience)) for check in checks)
        return number, await asyncio.gather(*asked)

    return {number: found for number, found in await asyncio.gather(*map(answers, finished)) if found}


def _looks_finished(wanted: Wanted, past: Past, seen: Mapping[str, Seen]) -> bool:
    last = past.last.get(wanted.input.number)
    if last is None or last.record.outcome != "done" or last.fingerprint != wanted.fingerprint:
        return False
    return _runs(wanted, seen)


def _runs(wanted: Wanted, seen: Mapping[str, Seen]) -> bool:
    return all(name in seen and seen[name].state == "ready" for name in (*wanted.digests, *wanted.servers))


def _facts(
    platform: Platform, wanted: Mapping[int, Wanted], past: Past, answers: Mapping[int, Iterable[Answer]]
) -> list[Facts]:
    relies: dict[int, list[int]] = {number: [] for number in wanted}
    for edge in platform.workflow.edges:
        relies[edge.target].append(edge.source)
    steps, found = platform.steps(), []
    claimed: set[str] = set()  # servers are one for all steps: the first that wants one looks after it
    for number, each in wanted.items():
        resolved, last, asked = steps[number], past.last.get(number), answers.get(number, ())
        found.append(
            Facts(
                number=number,
                title=resolved.step.title,
                playbook=each.playbook.name,
                relies=tuple(sorted(relies[number])),
                takes=tuple(sorted({*resolved.takes, *resolved.collects})),
                components=each.components,
                record=last.record if last else None,
                workloads=each.digests,
                replicas=each.replicas,
                servers=tuple(name for name in each.servers if name not in claimed),
                features=tuple(sorted(resolved.features.items())),
                files=each.files,
                volatile=bool(each.declaration.jobs) or each.provisional,
                checked=bool(asked),
                broken=tuple(f"check `{a.check.name}` failed: {a.evidence}" for a in asked if not a.passed),
            )
        )
        claimed.update(each.servers)
    return found


def _with_dependants(forced: Collection[int], facts: Iterable[Facts]) -> set[int]:
    again = set(forced)
    for each in facts:  # in the order of the document: what it relies on was looked at before
        if again.intersection((*each.relies, *each.takes)):
            again.add(each.number)
    return again
