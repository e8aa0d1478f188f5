"""Carries a surveyed plan out: the steps, what comes after them, and the record of it all."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path

from stepflow.engine.closing import addresses, describe, ending, remove_orphans, remove_unrendered, verify_outcomes
from stepflow.engine.execution import Execution, Options, since
from stepflow.engine.history import PastRun, as_done, asked_of
from stepflow.engine.interrupts import interruptible
from stepflow.engine.reports import write_report
from stepflow.engine.survey import Survey
from stepflow.events import Emit, Event, RunFinished, RunStarted, RunStatus
from stepflow.journal import Journal
from stepflow.render.tree import clear_unfinished
from stepflow.targets.contract import Inward


async def carry_out(
    survey: Survey, journal: Journal, options: Options, emit: Emit, before: PastRun | None, *, lock: int = -1
) -> RunStatus:
    """Carry a surveyed plan out and report everything as events, the last of which is `run_finished`.

    `before` is the last run: when it succeeded and nothing is done in this one, its answered outcomes stand. `lock` is
    an open file that is held for as long as a command of this run goes on, even if this process is killed. What `emit`
    raises changes nothing: it is called no more, and the traceback is in the run's log.
    """
    platform, site = survey.platform, survey.platform.site
    run = journal.begin_run(
        document=platform.document,
        target=platform.target,
        out=platform.out,
        pid=os.getpid(),
        options=site.options,
        workflow=platform.workflow.name,
        declared=tuple(survey.past.declared.values()),
        asked=asked_of(survey.past, survey.plan),
        accepted=[as_done(survey.past, survey.desired[number]) for number in survey.accepted],
        taken=since(survey.began),
    )
    steps = tuple(
        (s.facts.number, s.facts.title, s.action, tuple(sorted({*s.facts.relies, *s.facts.takes})))
        for s in survey.plan.steps
    )
    clear_unfinished(site.out, survey.past.files.cut_off)
    emit = _unraising(emit, site.state / "logs" / f"run{run}.log")
    emit(RunStarted(run, site.platform, platform.target, steps, str(survey.plan)))
    execution = Execution(survey, journal, run, options, emit, lock=lock)
    with interruptible(execution.interrupt), execution.deadline():
        if before and not before.status:
            await execution.end_leftovers(before.number)
        await execution.steps()
        if not execution.lost():
            describe(execution)
        await remove_orphans(execution)
        disowned = remove_unrendered(execution)
        outcomes = await verify_outcomes(execution, before)
    status = ending(execution, outcomes)
    seconds = since(survey.began)
    told = [asdict(each) for each in outcomes]
    journal.end_run(run, status, told, execution.outcomes, seconds=seconds, files=disowned)
    finished = RunFinished(status, seconds, outcomes)
    endpoints = await addresses(execution)
    secrets = any(handoff.credentials for handoff in execution.handoffs.values())
    resume = options.resume if status != "succeeded" and not execution.lost() else ""
    inward = isinstance(survey.target, Inward)
    emit(replace(finished, endpoints=endpoints, credentials=secrets, resume=resume, inward=inward))
    return status


def _unraising(emit: Emit, log: Path) -> Emit:
    """Return a receiver of events that raises nothing: the step or check that emits one is not to blame."""
    broken = False

    def receive(event: Event) -> None:
        nonlocal broken
        if broken:
            return
        try:
            emit(event)
        except Exception as error:  # noqa: BLE001 - whatever it is
            broken = True
            write_report(error, log)

    return receive
