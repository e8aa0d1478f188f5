"""The journeys through the whole platform that a run ends with, and that `stepflow verify` repeats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stepflow.engine.checks import Answer, WithHandoffs, ask, judge
from stepflow.engine.wanted import Wanted
from stepflow.events import Checked, Emit, Outcome, Waiting
from stepflow.playbook import Check
from stepflow.workload import CheckContext, Live


async def verify(
    wanted: Iterable[Wanted], live: Live, expected: Sequence[str], run: int, emit: Emit
) -> tuple[Outcome, ...]:
    """Make the journeys, one after the other (one may kill what another walks through), and judge the outcomes.

    A check whose phrases match none of the expected outcomes stands as an outcome of its own when it fails.
    """
    wanted = tuple(wanted)
    context = WithHandoffs(live, tuple(each.handoff for each in wanted))
    declared = {workload.name for each in wanted for workload in each.declaration.workloads}
    answers, unasked = [], {}
    for step, check in _journeys(wanted):
        if absent := [f"`{name}`" for name in check.needs if name not in declared]:
            unasked[check] = f"needs {' and '.join(absent)}, which no step of this document runs"
            continue
        answer = await _ask(step, check, context, emit)
        emit(Checked(step, check.name, answer.passed, answer.evidence))
        answers.append(answer)
    spoken = judge(expected, answers, run, unasked)
    heard = {line for outcome in spoken for line in outcome.evidence}
    unheard = (a for a in answers if not a.passed and f"{a.check.name}: {a.evidence}" not in heard)
    return (*spoken, *(Outcome(a.check.name, "failed", (a.evidence,), run) for a in unheard))


def _journeys(wanted: Iterable[Wanted]) -> list[tuple[int, Check]]:
    """List the journeys, and the quick postconditions that speak of an outcome too."""
    return [
        (each.input.number, check)
        for each in wanted
        for check in each.playbook.checks(each.input)
        if check.when == "run" or check.proves
    ]


async def _ask(step: int, check: Check, context: CheckContext, emit: Emit) -> Answer:
    def told(answer: str, remaining: float) -> None:
        emit(Waiting(step, f"check `{check.name}`", answer, round(remaining, 1)))

    emit(Waiting(step, f"check `{check.name}`", remaining=check.timeout))
    return await ask(step, check, context, told=told)
