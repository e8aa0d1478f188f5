"""Executes the steps of a plan: each as soon as those before it are done, as many at once as the options allow."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import TypeVar

from stepflow.engine.attempt import AttemptContext, StepError, attempt, failed
from stepflow.engine.commits import Commits
from stepflow.engine.desired import DesiredStep
from stepflow.engine.guards import GRACE, Guards
from stepflow.engine.handed import forget_others
from stepflow.engine.history import recorded
from stepflow.engine.jobs import HANDOFF, TakenFiles, left_files, remove_files
from stepflow.engine.leftovers import end_leftovers
from stepflow.engine.lock import lost
from stepflow.engine.reports import with_report
from stepflow.engine.survey import (
    Survey,
    ask_playbook,
    broken,
    declared_workloads,
    late,
    postconditions,
    reconciled,
    require_references,
)
from stepflow.errors import StepflowError
from stepflow.events import (
    Emit,
    Notice,
    StepFinished,
    StepOutcome,
    StepStarted,
)
from stepflow.handoff import Handoff
from stepflow.journal import Journal
from stepflow.plan import Facts, StepPlan, decide
from stepflow.targets.actions import Action

JOBS = 8

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
            Commits(journal),
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
        self.changed = False  # a step has run: what was observed before may be no longer so
        self.unfinished = False  # something besides the steps failed
        self._resolved = survey.platform.steps()
        self._running: dict[asyncio.Task[StepOutcome], int] = {}

    def interrupt(self, number: signal.Signals) -> None:
        """Handle a signal: Ctrl-C lets running steps finish, the second time and any other signal stops them."""
        running = self._named()
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
        left = max(0.0, self.options.deadline - since(self.survey.began))
        timer = asyncio.get_running_loop().call_later(left, self._too_late, self.options.deadline)
        try:
            yield
        finally:
            timer.cancel()

    def _too_late(self, seconds: float) -> None:
        running = self._named()
        self.emit(Notice(f"the deadline of {seconds:g} s is over" + (f": stopping {running}" if running else "")))
        self.interrupted = self.unfinished = True
        self._stop()

    def _named(self) -> str:
        """Name the steps that are running."""
        return ", ".join(f"step {each}" for each in sorted(self._running.values()))

    async def end_leftovers(self, run: int) -> None:
        """End the commands of a run that was killed together with its guards."""
        folder = self.context.state / "jobs"
        if found := await end_leftovers(f"{HANDOFF}={folder}{os.sep}", GRACE):
            processes = "1 process" if found == 1 else f"{found} processes"
            self.emit(Notice(f"ended {processes} of run {run}, which was killed"))

    async def steps(self) -> None:
        """Work on every step whose predecessors are done, as many at once as the options allow."""
        with self.context.commits:
            try:
                await self._all_steps()
            finally:  # the journal may have failed under one of them
                self._stop_steps()
                await asyncio.gather(*self._running, return_exceptions=True)
                await self.context.guards.close()
                self.context.taken.remove()
        self._skip_the_rest()
        if self.all_well() and self.changed:
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

    async def _step(self, number: int) -> StepOutcome:
        started = time.monotonic()
        try:
            plan = await self._decide(number)
            if plan.action == "reuse":
                self.handoffs[number] = self.desired[number].handoff
                self.emit(StepFinished(number, "reused", reasons=plan.reasons))
                return "reused"
            self.changed = True
            self.emit(StepStarted(number, plan.action, plan.reasons))
            self.handoffs[number] = await attempt(self.context, self.desired[number], plan)
        except asyncio.CancelledError:
            self.emit(StepFinished(number, "stopped", since(started)))
            return "stopped"
        except StepError as failure:
            error = failure.error
            told = StepFinished(
                number, "failed", since(started), (), error.message, error.hint, error.log, failure.tail
            )
            self.emit(told)
            return "failed"
        self.emit(StepFinished(number, "done", since(started), plan.reasons))
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
        touched = self.changed and any(job.inputs or job.creates for job in asked.declaration.jobs)
        if planned.action != "blocked" and same and not (asked.provisional or touched):
            aged = self.changed or number in self.survey.unasked
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
            return await self._checked(plan.facts)
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
        except StepflowError as error:
            raise failed(error, self.context.log(desired)) from error
        return await self._checked(replace(planned.facts, actions=actions))

    async def _checked(self, facts: Facts) -> StepPlan:
        """Ask the postconditions of a step whose actions are those of now, and decide by the answers."""
        desired = self.desired[facts.number]
        try:
            asked = [desired] if all(each.verb == "keep" for each in facts.actions) else []
            answers = (await postconditions(asked, self.survey.live)).get(facts.number, ())
        except StepflowError as error:
            raise failed(error, self.context.log(desired)) from error
        facts = replace(facts, checked=bool(answers), unasked=False)
        return decide(replace(facts, broken=broken(answers), late=late(answers)))

    def _open_target(self) -> None:
        """Open the target after all: only now is it known that a step needs it."""
        target = self.survey.platform.open()
        self.survey = replace(self.survey, target=target, live=target.live())
        self.context = replace(self.context, survey=self.survey)

    def report_unfinished(self, what: str, error: StepflowError) -> None:
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

    async def unless_stopped(self, work: Awaitable[T]) -> T | None:
        """Await what is not a step; None when it was stopped, which takes effect at once."""
        task, stop = asyncio.ensure_future(work), asyncio.ensure_future(self.stopping.wait())
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        return None if task.cancelled() else task.result()

    def all_well(self) -> bool:
        """Return whether each step is done or reused."""
        return set(self.outcomes.values()) <= {"done", "reused"}

    def not_well(self) -> str:
        """Return why not all steps are done or reused; "" when they are."""
        failed = next((number for number in sorted(self.outcomes) if self.outcomes[number] == "failed"), None)
        if failed is not None:
            return f"step {failed} failed"
        return "the run was interrupted" if self.interrupted or not self.all_well() else ""

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


def since(started: float) -> float:
    """Return the seconds since a time of the monotonic clock, rounded to milliseconds."""
    return round(time.monotonic() - started, 3)
