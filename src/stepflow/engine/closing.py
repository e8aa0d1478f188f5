"""What a run does once its steps are over: it writes what describes the platform, removes what no step declares or
renders any more, and checks the expected outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stepflow.engine.checks import verify
from stepflow.engine.documents import remove_left_over, stays, write_documents
from stepflow.engine.execution import Execution
from stepflow.engine.history import PastRun
from stepflow.engine.survey import rendered
from stepflow.errors import StepflowError
from stepflow.events import Notice, Outcome, RunStatus
from stepflow.plan import FileDiff
from stepflow.targets import endpoints
from stepflow.targets.contract import Inward

LEFT_OUT = "left out with `--no-verify`"


def describe(run: Execution) -> None:
    """Write the files that describe the desired platform, whatever became of the steps."""
    if any(each.provisional for each in run.desired.values()):
        return  # they would lack what is not known yet
    compared = run.survey.plan.documents
    if run.survey.plan.idle and not run.changed and isinstance(compared, FileDiff) and not compared.conflicts:
        return  # nothing to write or to say, as the plan found
    declarations = [each.declaration for each in run.desired.values()]
    try:
        if run.survey.target:
            documents, out = run.survey.target.documents(declarations), run.survey.platform.site.out
            journal, number = run.context.journal, run.context.run
            write_documents(documents, run.survey.past, out, journal=journal, run=number, emit=run.emit)
    except StepflowError as error:
        run.report_unfinished("the files that describe the platform could not be written", error)


async def remove_orphans(run: Execution) -> None:
    """Remove what an earlier run made and no step declares any more, once all steps are done or reused."""
    declared = {name for each in run.desired.values() for name in (*each.digests, *each.servers)}
    causes = {each.owner: each.cause for each in run.survey.plan.removals if each.owner not in declared}
    if not causes or run.survey.target is None:
        return
    listed = " and ".join(f"`{name}`" for name in causes)
    if why := run.not_well():
        run.emit(Notice(f"{listed} {stays(len(causes), why, run.options.resume)}"))
        return
    try:
        for name in await run.unless_stopped(run.survey.target.remove([*causes])) or ():
            run.emit(Notice(f"removed `{name}`: {causes[name]}"))
    except StepflowError as error:
        run.report_unfinished(f"{listed} could not be removed", error)


def remove_unrendered(run: Execution) -> Mapping[int, Mapping[str, str]]:
    """Remove the files of steps that are gone, once all steps are done or reused; return what these own then."""
    past, out = run.survey.past.files, run.survey.platform.site.out
    why, again = run.not_well(), run.options.resume
    if run.unfinished:  # what uses them may still be there
        return {}
    try:
        remove_left_over(past, rendered(run.desired.values()), out, run.emit, why=why, again=again)
    except StepflowError as error:
        run.report_unfinished("files that no step renders any more could not be removed", error)
        return {}
    return {} if why else past.disowned()


async def verify_outcomes(run: Execution, before: PastRun | None) -> tuple[Outcome, ...]:
    """Check the expected outcomes, or repeat the answers of the last run when this one had nothing to do."""
    expected = tuple(text.value for text in run.survey.platform.workflow.outcomes)
    unasked = tuple(Outcome(text, "not verified") for text in expected)
    if not run.all_well() or run.interrupted:
        return unasked
    idle = run.survey.plan.idle and set(run.outcomes.values()) <= {"reused"}
    if idle and before and before.status == "succeeded" and _answered(before, expected):
        return before.outcomes
    if not run.options.verify:
        return tuple(Outcome(text, "not verified", (LEFT_OUT,)) for text in expected)
    done = [replace(each, handoff=run.handoffs[number]) for number, each in run.desired.items()]
    number, log = run.context.run, run.context.log()
    journey = verify(done, run.survey.live, expected, run=number, emit=run.emit, log=log)
    try:
        return await run.unless_stopped(journey) or unasked
    except StepflowError as error:
        run.report_unfinished("the expected outcomes could not be checked", error)
        return unasked


def ending(run: Execution, outcomes: tuple[Outcome, ...]) -> RunStatus:
    """Return how the run ended. An outcome that no check concerns is not a failure."""
    failed = "failed" in run.outcomes.values() or any(each.verdict == "failed" for each in outcomes)
    if failed or run.unfinished:
        return "failed"
    return "interrupted" if run.interrupted or not run.all_well() else "succeeded"


async def addresses(run: Execution) -> dict[str, str]:
    """Return where people find the workloads now; nothing when the target cannot be reached any more."""
    target, observed = run.survey.target, run.survey.snapshot
    if isinstance(target, Inward):  # what leads there from here ends with this process
        return {}
    if target and not run.survey.plan.idle:
        try:
            observed = await target.observe()
        except StepflowError:  # the step that needed the target has said so; the run ends as usual
            return {}
    return endpoints(observed)


def _answered(before: PastRun, expected: tuple[str, ...]) -> bool:
    """Return whether a run answered just these outcomes, and left none out."""
    answered = tuple(each.text for each in before.outcomes if LEFT_OUT not in each.evidence)
    return len(answered) == len(before.outcomes) and answered == expected
