"""Which checks a run asks, how long it waits for them, and what it says of those that it leaves out."""

from __future__ import annotations

import asyncio
import os
import signal
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from stepflow.engine import checks, past
from stepflow.engine.checks import WithHandoffs
from stepflow.errors import PermanentError, TemporaryError
from stepflow.events import Checked, Outcome, RunFinished
from stepflow.handoff import Handoff
from stepflow.journal import Journal
from stepflow.playbook import Check, Playbook, StepInput
from stepflow.workload import CheckContext, Declaration, Live

if TYPE_CHECKING:
    from tests.unit.conftest import Lab

surveying = import_module("stepflow.engine.survey")  # the package has a function of this name
LEFT_OUT = "left out, since it kills a replica: `stepflow verify --chaos` includes it"


async def kill(context: CheckContext) -> str:
    await context.kill(context.instances("a")[0])
    return "one was killed"


async def answer(live: Live) -> str:
    return f"answers on {live.target}"


async def silence(live: Live) -> str:
    del live
    await asyncio.Event().wait()
    return "never"


async def verified(lab: Lab, text: str, *, chaos: bool) -> tuple[Outcome, ...]:
    """Check the outcomes of a platform that runs, as `stepflow verify` does."""
    with Journal(lab.folder / "state/journal.db") as journal:
        found = await lab.look(text, journal)
        assert past(journal, lab.folder / "out").last
    expected = [each.value for each in found.platform.workflow.outcomes]
    steps, log = found.desired.values(), lab.folder / "log"
    return await checks.verify(steps, found.live, expected, run=1, emit=lab.events.append, log=log, chaos=chaos)


async def test_run_without_verification_says_so_and_the_next_run_checks_the_outcomes(lab: Lab) -> None:
    lab.world.extra = (Check("routes", answer, ("mesh",), when="run"),)
    text = lab.document("a", outcomes=("Service mesh", "World peace"))
    assert await lab.run(text, verify=False) == "succeeded"
    outcomes = lab.said(RunFinished)[0].outcomes
    assert outcomes == tuple(
        Outcome(each, "not verified", ("left out with `--no-verify`",)) for each in ("Service mesh", "World peace")
    )
    assert lab.said(Checked) == []
    assert await lab.run(text) == "succeeded"
    assert lab.outcomes() == {1: "reused"}
    mesh, peace = lab.said(RunFinished)[0].outcomes
    assert (mesh.verdict, mesh.run, peace.evidence) == ("verified", 2, ("no step's playbook checks this",))


async def test_run_without_verification_that_does_nothing_repeats_what_the_last_one_found(lab: Lab) -> None:
    lab.world.extra = (Check("routes", answer, ("mesh",), when="run"),)
    text = lab.document("a", outcomes=("Service mesh",))
    await lab.run(text)
    assert await lab.run(text, verify=False) == "succeeded"
    assert lab.said(RunFinished)[0].outcomes == (Outcome("Service mesh", "verified", ("routes: answers on fake",), 1),)


async def test_check_that_kills_replicas_is_left_out_of_a_run_and_its_outcome_says_so(lab: Lab) -> None:
    lab.world.extra = (
        Check("routes", answer, ("mesh",), when="run"),
        Check("a killed replica", kill, ("mesh", "no single point"), when="run", chaos=True),
    )
    text = lab.document("a", outcomes=("Service mesh", "No single point of failure"))
    assert await lab.run(text) == "succeeded"
    mesh, point = lab.said(RunFinished)[0].outcomes
    assert (mesh.verdict, mesh.evidence) == ("verified", ("routes: answers on fake", f"a killed replica: {LEFT_OUT}"))
    assert (point.verdict, point.evidence) == ("not verified", (f"a killed replica: {LEFT_OUT}",))
    assert lab.target.observed["a"].state == "ready"
    assert (await verified(lab, text, chaos=False))[1].verdict == "not verified"
    mesh, point = await verified(lab, text, chaos=True)
    assert mesh.evidence == ("routes: answers on fake", "a killed replica: one was killed")
    assert (point.verdict, lab.target.observed["a"].state) == ("verified", "stopped")


async def test_check_that_does_not_say_so_kills_nothing(lab: Lab) -> None:
    lab.world.extra = (Check("rude", kill, when="run"),)
    text = lab.document("a")
    assert await lab.run(text) == "failed"
    (rude,) = lab.said(RunFinished)[0].outcomes
    assert rude.evidence == ("the check may not kill `a-1`: it is not marked as chaos",)
    assert lab.target.observed["a"].state == "ready"


async def test_late_answer_of_what_the_target_finds_ready_is_no_reason_to_run_a_step_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = lab.document("a")
    lab.world.extra = (Check("up", answer),)
    await lab.run(text)
    monkeypatch.setattr(surveying, "SILENCE", 0.01)
    lab.world.extra = (Check("up", silence),)
    assert await lab.run(text) == "succeeded"
    assert lab.reasons(1) == ("unchanged and ready, check `up` has no answer yet: reused",)
    assert lab.target.applied == {"a": 1}


async def test_late_answer_does_not_run_a_step_again_after_another_one_has_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.world.extra = (Check("up", answer),)
    await lab.run(lab.document("a", "b<1"))
    monkeypatch.setattr(surveying, "SILENCE", 0.01)

    async def of_b(context: CheckContext) -> str:
        return await (silence(context) if len(context.handoffs) > 1 else answer(context))

    lab.world.extra = (Check("up", of_b),)
    lab.target.lose("a")
    assert await lab.run(lab.document("a", "b<1")) == "succeeded"
    assert lab.outcomes() == {1: "done", 2: "reused"}
    assert lab.reasons(2) == ("unchanged and ready, check `up` has no answer yet: reused",)


async def test_wrong_answer_is_not_late(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.world.extra = (Check("up", answer),)
    await lab.run(lab.document("a"))
    monkeypatch.setattr(surveying, "SILENCE", 0.05)
    asked: list[str] = []

    async def wrong_once(live: Live) -> str:
        asked.append(live.target)
        if len(asked) == 1:
            raise PermanentError("it answers 500")
        return "200 OK"

    lab.world.extra = (Check("up", wrong_once),)
    assert await lab.run(lab.document("a")) == "succeeded"
    assert lab.reasons(1) == ("check `up` failed: it answers 500",)


async def test_interrupted_journey_has_time_to_remove_what_it_made(lab: Lab) -> None:
    removed: list[str] = []

    async def journey(live: Live) -> str:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            return await silence(live)
        finally:
            for _ in range(5):  # as requests do, it waits
                await asyncio.sleep(0)
            removed.append("what it made")

    lab.world.extra = (Check("journey", journey, when="run"),)
    assert await lab.run(lab.document("a")) == "interrupted"
    assert removed == ["what it made"]


class Idle(Playbook):
    """Deploys nothing, and has one check."""

    name = "service"
    summary = "Nothing."

    def __init__(self, check: Check) -> None:
        self.check = check

    def declare(self, step: StepInput) -> Declaration:
        del step
        return Declaration()

    def render(self, step: StepInput) -> dict[str, bytes]:
        del step
        return {"plan.txt": b"a plan\n"}

    def handoff(self, step: StepInput) -> Handoff:
        return Handoff(delivers=step.delivers)

    def checks(self, step: StepInput) -> tuple[Check, ...]:
        del step
        return (self.check,)


async def test_without_a_target_to_know_better_no_answer_is_no_proof(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = Idle(Check("page", answer))
    lab.playbooks = {"service": idle}
    await lab.run(lab.document("a"))
    monkeypatch.setattr(surveying, "SILENCE", 0.01)
    idle.check = Check("page", silence, timeout=0.05)
    assert await lab.run(lab.document("a")) == "failed"
    assert lab.said(RunFinished)[0].status == "failed"


async def test_check_of_files_is_asked_again_only_when_they_changed(lab: Lab) -> None:
    asked: list[str] = []

    async def valid(live: Live) -> str:
        asked.append((live.out / "plan.txt").read_text(encoding="utf-8"))
        return "valid"

    lab.playbooks = {"service": Idle(Check("valid", valid, of_files=True))}
    text = lab.document("a")
    await lab.run(text)
    await lab.run(text)
    assert asked == ["a plan\n"]
    (lab.folder / "out/plan.txt").write_text("my plan\n", encoding="utf-8")
    await lab.run(text)
    await lab.run(text)
    assert asked == ["a plan\n", "my plan\n"]


async def test_check_without_a_timeout_is_asked_once_for_as_long_as_it_takes(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float | None] = []
    timeout = asyncio.timeout

    def noting(seconds: float | None) -> asyncio.Timeout:
        limits.append(seconds)
        return timeout(seconds)

    errors = iter((TemporaryError("wrong on fake"), ConnectionRefusedError("refused"), TimeoutError()))

    async def works(live: Live) -> str:
        del live
        raise next(errors)

    monkeypatch.setattr(asyncio, "timeout", noting)
    check, live = Check("valid", works, timeout=None), WithHandoffs(lab.target.live(), ())
    results = [await checks.ask(1, check, live, silence=0.01) for _ in range(3)]
    assert [each.evidence for each in results] == ["wrong on fake", "refused", "no answer"]
    assert [(each.passed, each.late, each.bug) for each in results] == [(False, False, None)] * 3
    assert limits == [None] * 3
