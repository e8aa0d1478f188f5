"""One attempt at one step: render, deploy, verify, hand off; each phase in the journal before it begins."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from stepflow.blame import PluginError
from stepflow.engine.checks import WithHandoffs, ask, checks_of
from stepflow.engine.commits import Commits
from stepflow.engine.desired import DesiredStep, with_created, with_written
from stepflow.engine.disk import kept, on_disk, unwritable
from stepflow.engine.guards import Guard, Guards
from stepflow.engine.handed import hidden
from stepflow.engine.history import recorded
from stepflow.engine.jobs import HANDOFFS, JobFiles, TakenFiles, remove_files, run_job
from stepflow.engine.meaning import FORM
from stepflow.engine.output import JobOutput, tail
from stepflow.engine.reports import with_report
from stepflow.engine.survey import Survey, declared_workloads, for_target
from stepflow.errors import PermanentError, StepflowError, TemporaryError
from stepflow.events import Checked, Emit, Notice, Output, Phase, PhaseStarted, Retrying, Waiting
from stepflow.handoff import Handoff
from stepflow.journal import Attempt, Journal, Result
from stepflow.plan import StepPlan
from stepflow.render import digest, write_tree
from stepflow.targets.actions import Verb
from stepflow.targets.contract import Desired, Progress

TRIES = 4  # of what fails for a temporary reason
APPLYING = 1800.0  # seconds for all that a target does for a step; each wait has a deadline of its own
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 15.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """What every attempt of a run needs: the survey, the journal, the run's number, the events' receiver."""

    survey: Survey
    journal: Journal
    run: int
    emit: Emit
    shared: Mapping[str, int]  # rendered path -> how many steps of the workflow render it
    desired: Mapping[int, DesiredStep]  # of all steps, as far as is known
    planned: set[tuple[Verb, str]]  # verb and name of each action that was printed
    commits: Commits
    guards: Guards
    secrets: frozenset[str]  # values that are not to be shown
    left: dict[int, list[Path]]  # key of a step -> files of its jobs that earlier runs left
    taken: TakenFiles

    def for_target(self, each: DesiredStep) -> Desired:
        """Return the desired state of a step, for the target."""
        return for_target(each, declared_workloads(self.desired.values()))

    @property
    def state(self) -> Path:
        """The platform's state directory."""
        return self.survey.platform.site.state

    def log(self, desired: DesiredStep | None = None) -> Path:
        """Return the path of the log of a step in this run, or of the run itself."""
        step = f"{desired.input.number:02}-{_slug(desired.input.title)}-" if desired else ""
        return self.state / "logs" / f"{step}run{self.run}.log"


class StepError(Exception):
    """Why an attempt failed: the error, and how its log ends."""

    def __init__(self, error: StepflowError, tail: tuple[str, ...] = ()) -> None:
        """Keep the error and the last lines of its log."""
        super().__init__(error.message)
        self.error = error
        self.tail = tail


async def attempt(context: AttemptContext, desired: DesiredStep, plan: StepPlan) -> Handoff:
    """Work on a step until it is done, and return its handoff. Raises `StepError` once that is in the journal."""
    number, title = desired.input.number, desired.input.title
    key, cut_off = context.survey.past.declared[number].key, _cut_off(context, desired, plan.facts.asked)
    fingerprint = cut_off or desired.meaning.fingerprint
    log, jobs = context.log(desired), desired.declaration.jobs
    files = JobFiles(context.state / "jobs", f"{key}-{fingerprint[:16]}", continued=bool(cut_off))
    try:  # before the journal has the new attempt
        left = context.left.pop(key, [])
        files.take_over(left if cut_off else [])
        remove_files(left, files.name if cut_off else "")
    except OSError as error:
        raise failed(error, log) from error
    rendered = {path: digest(content) for path, content in desired.tree.items()}
    described = Attempt(
        key, title, desired.playbook.name, fingerprint, desired.meaning.to_record, number=number, form=FORM
    )
    names = sorted({*desired.digests, *desired.servers})
    its_log = str(log) if jobs else ""
    begun = replace(described, files=rendered, workloads=names, reasons=plan.reasons, log=its_log)
    begun = replace(begun, accepted=desired.accepted, owned=context.survey.past.files.of(number))
    work = _Work(context, desired, context.journal.begin_step(context.run, begun), files)
    async with AsyncExitStack() as lent:  # until it is recorded how the step ended
        try:
            await context.commits.durable()
            guard = await lent.enter_async_context(context.guards.lent()) if jobs else None
            result, handoff = await work.through(guard)
        except asyncio.CancelledError:
            context.journal.end_step(work.number, Result("stopped", files=work.rendered))
            raise
        except Exception as error:
            failure = failed(error, log)
            told = {"type": type(error).__name__, "message": failure.error.message, "details": list(failure.tail)}
            context.journal.end_step(work.number, Result("failed", error=told, files=work.rendered))
            await _recorded(context)
            raise failure from error
        context.journal.end_step(work.number, result)
        await _recorded(context)
    for index in range(len(jobs)):
        files.remove(index)
    return handoff


async def _recorded(context: AttemptContext) -> None:
    """Wait until it is durable how a step ended: what comes to stop it then comes too late."""
    with suppress(asyncio.CancelledError):
        await context.commits.durable()


class _Work:
    """The phases of one attempt, in order."""

    def __init__(self, context: AttemptContext, step: DesiredStep, number: int, job_files: JobFiles) -> None:
        self.context, self.step, self.number, self.job_files = context, step, number, job_files
        self.awaited = Progress("")  # what the target waits for, as it last reported
        past, own = context.survey.past.files, step.input.number
        alone = {path for path in past.of(own) if path in step.tree or not context.shared.get(path)}
        self.files: Mapping[str, str] = {
            path: value for path, value in past.base.items() if path in step.tree or path in alone
        }
        self._passed_on = past.passed_on(own, step.tree, context.shared)

    async def through(self, guard: Guard | None) -> tuple[Result, Handoff]:
        written: dict[str, Any] | None = None
        if self.step.tree or self.files:
            count = len(self.step.files.edited)
            edited = f", {count} kept as you edited them" if count else ""
            files = len(self.step.tree)
            self._enter("render", f"{files} {'file' if files == 1 else 'files'}{edited}")
            self._render()
        if guard:
            self._enter("deploy", ", ".join(job.name for job in self.step.declaration.jobs))
            written = await self._jobs(guard)
        if self.step.declaration.deploys:
            self._enter("deploy", ", ".join(self.step.digests))
            await self._again(self._apply)
        await self._verify()
        self._enter("hand off")
        handoff = with_written(self.step.own, written)
        if self.step.declaration.jobs:
            handoff = with_created(handoff, self.context.survey.outside.created(self.step.declaration.jobs))
        return Result("done", handoff.model_dump(mode="json"), written, files=self.rendered), handoff

    @property
    def rendered(self) -> Mapping[str, str]:
        """The files that the step owns, and those that another one is to take over from it."""
        return {**self._passed_on, **self.files}

    def _enter(self, phase: Phase, detail: str = "") -> None:
        self.context.journal.enter_phase(self.number, phase)
        self.context.emit(PhaseStarted(self.step.input.number, phase, detail))

    def _render(self) -> None:
        """Write the tree; not in a thread, which could not be stopped, and steps that share files take turns."""
        out = self.context.survey.platform.site.out
        try:
            written = write_tree(out, self.step.tree, self.files)
        except OSError as error:
            self.files = {**self.files, **self._found(out)}
            raise unwritable(out, error) from error
        except PermanentError:
            self.files = {**self.files, **self._found(out)}
            raise
        for said in kept(out, written, self.files):
            self.context.emit(Notice(said, self.step.input.number))
        self.files = written.base

    def _found(self, out: Path) -> dict[str, str]:
        """Return what of the tree was written before an error, as it is on disk."""
        found = {}
        for path, content in self.step.tree.items():
            with suppress(PermanentError):  # it cannot be read
                if on_disk(out / path) == digest(content):
                    found[path] = digest(content)
        return found

    async def _jobs(self, guard: Guard) -> dict[str, Any] | None:
        number, log = self.step.input.number, self.context.log(self.step)
        emit, written = self.context.emit, None
        outside, state, jobs = self.context.survey.outside, self.context.state, self.step.declaration.jobs
        taken, handed = self.context.taken.write(self.step.input.handoffs)
        secrets = self.context.secrets | outside.secrets(jobs) | handed
        output = JobOutput(
            log, lambda line: emit(Output(number, line)), lambda said: emit(Notice(said, number)), secrets
        )
        try:
            for index, job in enumerate(jobs):
                emit(Waiting(number, f"`{job.name}` to end", remaining=job.timeout))
                variables = {**outside.given(job), HANDOFFS: str(taken)}
                run = partial(run_job, job, index, variables, self.job_files, guard=guard, output=output)
                added = await self._again(run, tries=job.retries + 1)
                if added is not None:
                    written = {**(written or {}), **hidden(added, job.hides, secrets, state, outside.key)}
        except StepflowError as error:
            error.log = error.log or (str(log) if log.exists() else "")
            raise
        finally:
            output.end()
        return written

    async def _apply(self) -> None:
        target = self.context.survey.target
        assert target is not None  # opened because a step declares something
        self.awaited = Progress("its first answer")
        try:
            async with asyncio.timeout(APPLYING) as deadline:
                done = await target.apply(self.context.for_target(self.step), self._progress)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            answer = f" ({self.awaited.answer})" if self.awaited.answer else ""
            said = f"timed out after {APPLYING:g} s waiting for {self.awaited.waiting_for}{answer}"
            raise PermanentError(said) from error
        for action in done:
            if action.verb != "keep" and (action.verb, action.name) not in self.context.planned:
                self.context.emit(Notice(f"not in the plan, something changed since: {action}", self.step.input.number))

    def _progress(self, progress: Progress) -> None:
        number = self.step.input.number
        if progress.remark:
            self.context.emit(Notice(progress.waiting_for, number))
        else:
            self.awaited = progress
            self.context.emit(Waiting(number, progress.waiting_for, progress.answer))

    async def _verify(self) -> None:
        number = self.step.input.number
        live = WithHandoffs(self.context.survey.live, self.step.known_handoffs)
        checks = [check for check in checks_of(self.step) if check.when == "step"]
        if not checks:
            return
        self._enter("verify", ", ".join(check.name for check in checks))

        def waiting(name: str, answer: str, remaining: float) -> None:
            self.context.emit(Waiting(number, f"check `{name}`", answer, round(remaining, 1)))

        playbook = self.step.playbook.name
        asked = (ask(number, each, live, playbook=playbook, told=partial(waiting, each.name)) for each in checks)
        answers = await asyncio.gather(*asked)
        for answer in answers:
            self.context.emit(Checked(number, answer.check.name, answer.passed, answer.evidence))
        for answer in answers:
            if not answer.passed:
                what = f"check `{answer.check.name}` failed: {answer.evidence}"
                kind = PluginError if answer.bug else PermanentError
                raise kind(what, hint=answer.hint, log=answer.log) from answer.bug

    async def _again(self, act: Callable[[], Awaitable[T]], *, tries: int = TRIES) -> T:
        """Retry what fails for a temporary reason, with back-off and jitter."""
        for count in range(1, tries):
            try:
                return await act()
            except TemporaryError as error:
                longest = min(_FIRST_DELAY * 2 ** (count - 1), _LONGEST_DELAY)
                delay = error.delay if error.delay is not None else random.uniform(longest / 2, longest)  # noqa: S311 - jitter
                self.context.emit(Retrying(self.step.input.number, error.message, round(delay, 2), count + 1))
                await asyncio.sleep(delay)
        return await act()


def _cut_off(context: AttemptContext, desired: DesiredStep, asked: int | None) -> str:
    """Return the fingerprint of the attempt that this one continues, so that its finished jobs do not run again;
    "" when it begins from the start, as one does that was `asked` for after the other.
    """
    last, record = context.survey.past.last.get(desired.input.number), recorded(context.survey.past, desired)
    if last is None or record is None or record.outcome != "interrupted" or record.components != desired.components:
        return ""
    return last.fingerprint if asked is None or 0 < asked <= record.run else ""


def failed(error: Exception, log: Path) -> StepError:
    """Return why a step failed; the traceback of what may not happen is in the log."""
    told = with_report(error, log)
    shown = told is error and told.log and "\n" not in told.message  # of a report the path is enough
    return StepError(told, tail(told.log) if shown else ())


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.casefold()).strip("-")[:40] or "step"
