"""Executes a plan: each ready step in parallel; then removes what no step declares any more, checks the outcomes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TypeVar

from stepflow.engine.attempt import AttemptContext, StepError, attempt, failed
from stepflow.engine.checks import verify
from stepflow.engine.desired import DesiredStep
from stepflow.engine.documents import remove_left_over, write_documents
from stepflow.engine.guards import GRACE, Guards
from stepflow.engine.handed import forget_others
from stepflow.engine.history import PastRun, as_done, asked_of, recorded
from stepflow.engine.interrupts import interruptible
from stepflow.engine.jobs import HANDOFF, TakenFiles, left_files, remove_files
from stepflow.engine.leftovers import end_leftovers
from stepflow.engine.lock import lost
from stepflow.engine.reports import with_report, write_report
from stepflow.engine.survey import (
    Survey,
    ask_playbook,
    broken,
    declared_workloads,
    late,
    postconditions,
    reconciled,
    rendered,
    require_references,
)
from stepflow.errors import StepflowError
from stepflow.events import (
    Emit,
    Event,
    Notice,
    Outcome,
    RunFinished,
    RunStarted,
    RunStatus,
    StepFinished,
    StepOutcome,
    StepStarted,
)
from stepflow.handoff import Handoff
from stepflow.journal import Journal
from stepflow.plan import FileDiff, StepPlan, decide
from stepflow.render.tree import clear_unfinished
from stepflow.targets import endpoints
from stepflow.targets.actions import Action
from stepflow.targets.contract import Inward

JOBS = 8
LEFT_OUT = "left out with `--no-verify`"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run."""

    jobs: int = JOBS  # steps at once
    fail_fast: bool = False
    resume: str = "stepflow resume"  # what to type to go on from here
    forced: tuple[int, ...] = ()  # steps to do again in any case
    accepted: tuple[int, ...] = ()  # finished steps to take as they are, whatever changed of them
    deadline: float | None = None  # seconds after which everything is stopped; None: no limit
    verify: bool = True  # check the expected outcomes at the end


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
        taken=_since(survey.began),
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
            execution.describe()
        await execution.remove_orphans()
        disowned = execution.remove_left_over()
        outcomes = await execution.verify(before)
    status = execution.status(outcomes)
    seconds = _since(survey.began)
    told = [asdict(each) for each in outcomes]
    journal.end_run(run, status, told, execution.outcomes, seconds=seconds, files=disowned)
    finished = RunFinished(status, seconds, outcomes)
    endpoints = await execution.endpoints()
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


class Execution:
    """The state of one run while it goes on."""

    def __init__(self, survey: Survey, journal: Journal, run: int, options: Options, emit: Emit, *, lock: int) -> None:
        """Prepare; nothing happens yet."""
        shared = Counter(path for each in survey.desired.values() for path in each.tree)
        self.survey, self.options, self.emit = survey, options, emit
        self.planned: dict[int, StepPlan] = {each.facts.number: each for each in survey.plan.steps}
        self.desired = dict(survey.desired)
        printed = {(each.verb, each.name) for step in survey.plan.steps for each in step.facts.actions}
        secrets = survey.outside.secrets(job for each in survey.desired.values() for job in each.declaration.jobs)
        jobs = survey.platform.site.state / "jobs"
        left = left_files(jobs)
        remove_files(left.pop(-1, []))
        self.context = AttemptContext(
            survey,
            journal,
            run,
            emit,
            shared,
            self.desired,
            printed,
            Guards(lock),
            secrets,
            left,
            TakenFiles(jobs),
        )
        self.handoffs: dict[int, Handoff] = {}
        self.outcomes: dict[int, StepOutcome] = {}
        self.interrupted = False  # nothing else starts
        self.stopping = asyncio.Event()  # and what runs is stopped
        self._lock, self._lost = lock, False
        self._changed = False  # a step has run: what was observed before may be no longer so
        self.unfinished = False  # something besides the steps failed
        self._resolved = survey.platform.steps()
        self._running: dict[asyncio.Task[StepOutcome], int] = {}

    def interrupt(self, number: signal.Signals) -> None:
        """Handle a signal: Ctrl-C lets running steps finish, the second time and any other signal stops them."""
        running = ", ".join(f"step {each}" for each in sorted(self._running.values()))
        if number == signal.SIGINT and running and not self.interrupted:
            self.emit(Notice(f"interrupted: {running} will finish, nothing else starts; Ctrl-C again stops at once"))
        elif number == signal.SIGINT and not self.interrupted:
            self.emit(Notice("interrupted: nothing else starts"))
            self._stop()
        elif not self.stopping.is_set():
            by = "" if number == signal.SIGINT else f"{number.name}: "
            self.emit(Notice(f"{by}stopping {running}" if running else f"{by}stopping"))
            self._stop()
        self.interrupted = True

    @contextmanager
    def deadline(self) -> Iterator[None]:
        """Stop everything once the run has taken as long as it may."""
        if self.options.deadline is None:
            yield
            return
        left = max(0.0, self.options.deadline - _since(self.survey.began))
        timer = asyncio.get_running_loop().call_later(left, self._too_late, self.options.deadline)
        try:
            yield
        finally:
            timer.cancel()

    def _too_late(self, seconds: float) -> None:
        running = ", ".join(f"step {each}" for each in sorted(self._running.values()))
        self.emit(Notice(f"the deadline of {seconds:g} s is over: stopping {running}".removesuffix(": stopping ")))
        self.interrupted = self.unfinished = True
        self._stop()

    async def end_leftovers(self, run: int) -> None:
        """End the commands of a run that was killed together with its guards."""
        folder = self.context.state / "jobs"
        if found := await end_leftovers(f"{HANDOFF}={folder}{os.sep}", GRACE):
            processes = "1 process" if found == 1 else f"{found} processes"
            self.emit(Notice(f"ended {processes} of run {run}, which was killed"))

    async def steps(self) -> None:
        """Work on every step whose predecessors are done, as many at once as the options allow."""
        try:
            await self._all_steps()
        finally:  # the journal may have failed under one of them
            self._stop_steps()
            await asyncio.gather(*self._running, return_exceptions=True)
            await self.context.guards.close()
            self.context.taken.remove()
        self._skip_the_rest()
        if self._all_well() and self._changed:
            forget_others(self.handoffs.values(), self.context.state)

    async def _all_steps(self) -> None:
        graph = {number: (*each.facts.relies, *each.facts.takes) for number, each in self.planned.items()}
        sorter = TopologicalSorter(graph)
        sorter.prepare()
        ready: list[int] = []
        while True:
            ready += sorter.get_ready() if sorter.is_active() else ()
            while ready and not self._closing() and len(self._running) < self.options.jobs:
                number = ready.pop(0)
                self._running[asyncio.create_task(self._step(number))] = number
            if not self._running:
                break
            done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                number = self._running.pop(task)
                self.outcomes[number] = task.result()
                if self.outcomes[number] in {"done", "reused"}:
                    sorter.done(number)
                elif self.options.fail_fast:
                    self._stop_steps()

    def describe(self) -> None:
        """Write the files that describe the desired platform, whatever became of the steps."""
        if any(each.provisional for each in self.desired.values()):
            return  # they would lack what is not known yet
        compared = self.survey.plan.documents
        if self.survey.plan.idle and not self._changed and isinstance(compared, FileDiff) and not compared.conflicts:
            return  # nothing to write or to say, as the plan found
        declarations = [each.declaration for each in self.desired.values()]
        try:
            if self.survey.target:
                documents, out = self.survey.target.documents(declarations), self.survey.platform.site.out
                journal, run = self.context.journal, self.context.run
                write_documents(documents, self.survey.past, out, journal=journal, run=run, emit=self.emit)
        except StepflowError as error:
            self._unfinished("the files that describe the platform could not be written", error)

    async def remove_orphans(self) -> None:
        """Remove what an earlier run made and no step declares any more, once all steps are done or reused."""
        declared = {name for each in self.desired.values() for name in (*each.digests, *each.servers)}
        causes = {each.owner: each.cause for each in self.survey.plan.removals if each.owner not in declared}
        if not causes or self.survey.target is None:
            return
        listed = " and ".join(f"`{name}`" for name in causes)
        if why := self._not_well():
            stay, them = ("stays", "it") if len(causes) == 1 else ("stay", "them")
            self.emit(Notice(f"{listed} {stay}: {why}; `{self.options.resume}` removes {them} once all steps are done"))
            return
        try:
            for name in await self._unless_stopped(self.survey.target.remove([*causes])) or ():
                self.emit(Notice(f"removed `{name}`: {causes[name]}"))
        except StepflowError as error:
            self._unfinished(f"{listed} could not be removed", error)

    def remove_left_over(self) -> Mapping[int, Mapping[str, str]]:
        """Remove the files of steps that are gone, once all steps are done or reused; return what these own then."""
        past, out = self.survey.past.files, self.survey.platform.site.out
        why, again = self._not_well(), self.options.resume
        if self.unfinished:  # what uses them may still be there
            return {}
        try:
            remove_left_over(past, rendered(self.desired.values()), out, self.emit, why=why, again=again)
        except StepflowError as error:
            self._unfinished("files that no step renders any more could not be removed", error)
            return {}
        return {} if why else past.disowned()

    async def verify(self, before: PastRun | None) -> tuple[Outcome, ...]:
        """Check the expected outcomes, or repeat the answers of the last run when this one had nothing to do."""
        expected = tuple(text.value for text in self.survey.platform.workflow.outcomes)
        unasked = tuple(Outcome(text, "not verified") for text in expected)
        if not self._all_well() or self.interrupted:
            return unasked
        idle = self.survey.plan.idle and set(self.outcomes.values()) <= {"reused"}
        if idle and before and before.status == "succeeded" and _answered(before, expected):
            return before.outcomes
        if not self.options.verify:
            return tuple(Outcome(text, "not verified", (LEFT_OUT,)) for text in expected)
        done = [replace(each, handoff=self.handoffs[number]) for number, each in self.desired.items()]
        run, log = self.context.run, self.context.log()
        journey = verify(done, self.survey.live, expected, run=run, emit=self.emit, log=log)
        try:
            return await self._unless_stopped(journey) or unasked
        except StepflowError as error:
            self._unfinished("the expected outcomes could not be checked", error)
            return unasked

    def status(self, outcomes: tuple[Outcome, ...]) -> RunStatus:
        """Return how the run ended. An outcome that no check concerns is not a failure."""
        failed = "failed" in self.outcomes.values() or any(each.verdict == "failed" for each in outcomes)
        if failed or self.unfinished:
            return "failed"
        return "interrupted" if self.interrupted or not self._all_well() else "succeeded"

    async def endpoints(self) -> dict[str, str]:
        """Return where people find the workloads now; nothing when the target cannot be reached any more."""
        target, observed = self.survey.target, self.survey.snapshot
        if isinstance(target, Inward):  # what leads there from here ends with this process
            return {}
        if target and not self.survey.plan.idle:
            try:
                observed = await target.observe()
            except StepflowError:  # the step that needed the target has said so; the run ends as usual
                return {}
        return endpoints(observed)

    async def _step(self, number: int) -> StepOutcome:
        started = time.monotonic()
        try:
            plan = await self._decide(number)
            if plan.action == "reuse":
                self.handoffs[number] = self.desired[number].handoff
                self.emit(StepFinished(number, "reused", reasons=plan.reasons))
                return "reused"
            self._changed = True
            self.emit(StepStarted(number, plan.action, plan.reasons))
            self.handoffs[number] = await attempt(self.context, self.desired[number], plan)
        except asyncio.CancelledError:
            self.emit(StepFinished(number, "stopped", _since(started)))
            return "stopped"
        except StepError as failure:
            error = failure.error
            told = StepFinished(
                number, "failed", _since(started), (), error.message, error.hint, error.log, failure.tail
            )
            self.emit(told)
            return "failed"
        self.emit(StepFinished(number, "done", _since(started), plan.reasons))
        return "done"

    async def _decide(self, number: int) -> StepPlan:
        """Return the planned decision, or plan again: where what is handed to the step differs from the plan, and where
        a step that is to be reused was last looked at before others ran.
        """
        planned, resolved = self.planned[number], self._resolved[number]
        handoffs: Mapping[int, Handoff] = {taken: self.handoffs[taken] for taken in planned.facts.takes}
        asked = self.desired[number]
        declared = {collected: self.desired[collected].declaration for collected in resolved.collects}
        same = handoffs == asked.input.handoffs and declared == asked.input.declarations
        touched = self._changed and any(job.inputs or job.creates for job in asked.declaration.jobs)
        if planned.action != "blocked" and same and not (asked.provisional or touched):
            aged = self._changed or number in self.survey.unasked
            return await self._looked(planned) if aged and planned.action == "reuse" else planned
        try:
            desired = ask_playbook(
                self.survey.platform,
                resolved,
                handoffs,
                self.desired,
                self.survey.past,
                outside=self.survey.outside,
                final=True,
            )
            if self.survey.target is None and desired.declaration.deploys:
                self._open_target()
            self.desired[number] = desired
            require_references([desired], self.desired.values())
            actions = await self._actions(desired)
        except StepflowError as error:
            raise failed(error, self.context.log(asked)) from error
        facts = replace(planned.facts, components=desired.components, actions=actions, files=desired.files)
        facts = replace(facts, record=recorded(self.survey.past, desired), provisional=False)
        plan = decide(facts)
        if plan.action == "reuse":
            return await self._looked(plan)
        self._announce(plan)
        return plan

    def _announce(self, plan: StepPlan) -> None:
        """Print the actions that the plan could not have."""
        ran = " and ".join(f"step {number}" for number in plan.facts.takes)
        for each in plan.facts.actions:
            if (each.verb, each.name) not in self.context.planned and each.verb != "keep":
                self.emit(Notice(f"known now that {ran} has run: {each.reason}", plan.facts.number))
            self.context.planned.add((each.verb, each.name))

    async def _actions(self, desired: DesiredStep) -> tuple[Action, ...]:
        """Return the actions for a step as the target is observed now, without those that are another step's.

        What several steps declare, such as a server, is planned with the first of them: one that runs is waited for.
        """
        if not desired.declaration.deploys:
            return ()
        target, workloads = self.survey.target, declared_workloads(self.desired.values())
        while True:
            snapshot = await target.observe() if target else self.survey.snapshot
            found = reconciled(target, desired, workloads, snapshot)
            planned = self._planned_elsewhere(desired.input.number)
            shared = {planned[each.name] for each in found if each.name in planned and each.verb != "keep"}
            running = [task for task, number in self._running.items() if number in shared and not task.done()]
            if not running:
                return tuple(each for each in found if each.verb == "keep" or each.name not in planned)
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)

    def _planned_elsewhere(self, number: int) -> dict[str, int]:
        """Return what steps that have not ended are to do, and with which step."""
        others = ((n, each) for n, each in self.planned.items() if n != number and n not in self.outcomes)
        return {each.name: n for n, plan in others for each in plan.facts.actions if each.verb != "keep"}

    async def _looked(self, planned: StepPlan) -> StepPlan:
        """Inspect a step that is to be reused once more, now that it is its turn and other steps have run."""
        desired = self.desired[planned.facts.number]
        try:
            actions = await self._actions(desired)
            asked = [desired] if all(each.verb == "keep" for each in actions) else []
            answers = (await postconditions(asked, self.survey.live)).get(planned.facts.number, ())
        except StepflowError as error:
            raise failed(error, self.context.log(desired)) from error
        facts = replace(planned.facts, actions=actions, checked=bool(answers), unasked=False)
        return decide(replace(facts, broken=broken(answers), late=late(answers)))

    def _open_target(self) -> None:
        """Open the target after all: only now is it known that a step needs it."""
        target = self.survey.platform.open()
        self.survey = replace(self.survey, target=target, live=target.live())
        self.context = replace(self.context, survey=self.survey)

    def _unfinished(self, what: str, error: StepflowError) -> None:
        """Report what failed besides the steps."""
        self.unfinished = True
        told = with_report(error, self.context.log())
        report = f"; its report is `{told.log}`" if told is not error and told.log else ""
        self.emit(Notice(f"{what}: {told.message}{report}"))

    def lost(self) -> bool:
        """Return whether a command has removed the state directory with all that is recorded, and say so once."""
        if not self._lost and self._lock >= 0 and lost(self.context.state, self._lock):
            self._lost = self.unfinished = True
            said = f"`{self.context.state}` was removed or moved: this run cannot be recorded, and nothing else starts"
            self.emit(Notice(f"{said}; run it again once no command does that"))
        return self._lost

    def _closing(self) -> bool:
        return self.interrupted or self.lost() or (self.options.fail_fast and "failed" in self.outcomes.values())

    def _stop(self) -> None:
        self.stopping.set()
        self._stop_steps()

    def _stop_steps(self) -> None:
        for task in self._running:
            task.cancel()

    async def _unless_stopped(self, work: Awaitable[T]) -> T | None:
        """Await what is not a step; None when it was stopped, which takes effect at once."""
        task, stop = asyncio.ensure_future(work), asyncio.ensure_future(self.stopping.wait())
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        return None if task.cancelled() else task.result()

    def _all_well(self) -> bool:
        return set(self.outcomes.values()) <= {"done", "reused"}

    def _not_well(self) -> str:
        """Return why not all steps are done or reused; "" when they are."""
        failed = next((number for number in sorted(self.outcomes) if self.outcomes[number] == "failed"), None)
        if failed is not None:
            return f"step {failed} failed"
        return "the run was interrupted" if self.interrupted or not self._all_well() else ""

    def _skip_the_rest(self) -> None:
        """Report each step that did not start, and the step that is the cause (None: the run was interrupted)."""
        causes: dict[int, int | None] = {}
        for number, each in self.planned.items():
            if number in self.outcomes:
                continue
            before = (*each.facts.relies, *each.facts.takes)
            ended = (n for n in before if self.outcomes[n] not in {"done", "reused"})
            causes[number] = next((causes.get(n, n) for n in ended), None)
            self.outcomes[number] = "skipped"
            self.emit(StepFinished(number, "skipped", because=causes[number]))


def _answered(before: PastRun, expected: tuple[str, ...]) -> bool:
    """Return whether a run answered just these outcomes, and left none out."""
    answered = tuple(each.text for each in before.outcomes if LEFT_OUT not in each.evidence)
    return len(answered) == len(before.outcomes) and answered == expected


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
