"""Checks are asked until they pass or cannot any more, and what they answer is told as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stepflow.blame import PluginError
from stepflow.engine.checks import CheckResult, Nowhere, WithHandoffs, ask, checks_of, speaks_of
from stepflow.engine.desired import desired_step
from stepflow.engine.disk import Drift
from stepflow.errors import PermanentError, TemporaryError
from stepflow.events import Notice, RunFinished, Waiting
from stepflow.handoff import Endpoint, Handoff, SecretFile
from stepflow.playbook import Check, Playbook, Settings, StepInput
from stepflow.targets.contract import Desired, Provider, discard
from stepflow.testing import FakeTarget
from stepflow.workload import CheckContext, Declaration, HttpProbe, Port, Workload

if TYPE_CHECKING:
    from tests.unit.conftest import Lab

NOWHERE = Nowhere("local", Path("out"))


def raising(*errors: BaseException) -> Callable[[CheckContext], Awaitable[str]]:
    """Return a check that raises each of the errors, and then passes."""
    left = list(errors)

    async def run(live: CheckContext) -> str:
        del live
        if left:
            raise left.pop(0)
        return "200\n OK"

    return run


async def test_answer_is_that_of_its_step_and_check_on_one_line() -> None:
    asked = Check("answers", raising())
    assert await ask(7, asked, NOWHERE) == CheckResult(7, asked, passed=True, evidence="200 OK")
    refused = Check("answers", raising(PermanentError("it\nanswers 500", hint="look", log="x.log")))
    told = CheckResult(7, refused, passed=False, evidence="it answers 500", hint="look", log="x.log")
    assert await ask(7, refused, NOWHERE) == told


async def test_check_without_a_timeout_runs_once_and_its_answer_is_what_it_said() -> None:
    once = Check("answers", raising(TemporaryError("503")), timeout=None)
    assert await ask(7, once, NOWHERE) == CheckResult(7, once, passed=False, evidence="503")
    mute = Check("answers", raising(TemporaryError("")), timeout=None)
    assert await ask(7, mute, NOWHERE) == CheckResult(7, mute, passed=False, evidence="no answer")


async def test_check_that_is_silent_for_too_long_is_late_and_neither_good_nor_bad() -> None:
    async def forever(live: CheckContext) -> str:
        del live
        await asyncio.Event().wait()
        return ""

    silent = Check("answers", forever, timeout=60)
    assert await ask(7, silent, NOWHERE, silence=0.01) == CheckResult(
        7, silent, passed=False, evidence="no answer", late=True
    )


class Checked(Playbook):
    """Returns these checks."""

    name = "checked"
    summary = "Checks."

    def __init__(self, found: object) -> None:
        self.found = found

    def declare(self, step: StepInput) -> Declaration:
        del step
        return Declaration()

    def checks(self, step: StepInput) -> tuple[Check, ...]:
        del step
        return self.found  # type: ignore[return-value]


def of(found: object) -> tuple[Check, ...]:
    step = StepInput(7, "T", "p", "", "shop", "fake", Settings(), frozenset())
    provider = Provider("fake", lambda _: FakeTarget(), lambda _: ())
    return checks_of(desired_step(Checked(found), step, lambda _: Drift(), {}, provider=provider))


def test_checks_of_a_step_are_those_of_its_playbook() -> None:
    run = raising()
    listed = Check("a", run, ["mesh"], needs=["orders"], timeout=None)  # type: ignore[arg-type]
    assert of([listed]) == (Check("a", run, ("mesh",), needs=("orders",), timeout=None),)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "`checks()` returned None, not a tuple of `Check`"),
        ((Check("a", raising(), timeout="soon"),), "the check `a` has no timeout in seconds, or cannot be called"),  # type: ignore[arg-type]
        ((Check("a", "run"),), "the check `a` has no timeout in seconds, or cannot be called"),  # type: ignore[arg-type]
        ((Check("a", raising(), "mesh"),), "`Check.proves` returned a `str`, not a tuple of `str`"),  # type: ignore[arg-type]
        ((Check("a", raising(), needs=(7,)),), "`Check.needs[0]` returned a `int`, not a `str`"),  # type: ignore[arg-type]
    ],
)
def test_checks_that_cannot_be_asked_are_blamed_on_the_playbook(found: object, said: str) -> None:
    with pytest.raises(PluginError) as blamed:
        of(found)
    assert blamed.value.message == f"the playbook `checked` failed at step 7: TypeError: {said}"
    assert blamed.value.hint == "it is a bug of the package that brings `checked`"


async def test_check_that_is_not_marked_as_chaos_kills_nothing() -> None:
    target = FakeTarget()
    await target.apply(Desired(Declaration((Workload("hello", ("python",), HttpProbe("/")),))), discard)
    seen = WithHandoffs(target.live(), ())
    (copy,) = seen.instances("hello")
    with pytest.raises(PermanentError) as refused:
        await seen.kill(copy)
    assert refused.value.message == f"the check may not kill `{copy.name}`: it is not marked as chaos"
    assert refused.value.hint == "`chaos=True` in its `Check`; then `stepflow verify --chaos` asks it"
    assert (await target.observe())["hello"].state == "ready"


async def test_check_that_says_when_it_may_pass_is_not_asked_before_and_not_waited_for_beyond_its_time() -> None:
    told: list[tuple[str, float]] = []
    soon, never = TemporaryError("503", delay=0.0), TemporaryError("504", delay=61.0)
    later = Check("answers", raising(soon, never), timeout=60)
    answer = await ask(1, later, NOWHERE, told=lambda *what: told.append(what))
    assert (answer.passed, answer.evidence) == (False, "timeout after 60 s: 504")
    ((said, remaining),) = told
    assert said == "503"
    assert 0 < remaining <= 60


async def test_what_a_check_may_not_raise_is_an_answer_that_blames_its_playbook_where_that_is_known() -> None:
    bug = KeyError("token")
    broken = Check("answers", raising(bug))
    assert await ask(7, broken, NOWHERE, playbook="service") == CheckResult(
        7,
        broken,
        passed=False,
        evidence="the check itself failed, a bug of the playbook `service`: KeyError: 'token'",
        hint="it is a bug of the package that brings `service`",
        bug=bug,
    )
    alone = Check("answers", raising(bug))
    said = "the check itself failed: KeyError: 'token'"
    assert await ask(7, alone, NOWHERE) == CheckResult(7, alone, passed=False, evidence=said, bug=bug)


async def test_check_that_returns_no_text_is_told_so() -> None:
    async def returns(live: CheckContext) -> str:
        del live
        return None  # type: ignore[return-value]

    answer = await ask(1, Check("answers", returns), NOWHERE)
    assert answer.evidence == "the check itself failed: TypeError: `Check.run()` returned None, not a `str`"


async def test_fault_of_a_target_that_a_check_meets_is_reported_as_a_bug_and_a_failure_is_not() -> None:
    fault = PluginError("the target `fake` failed in `url`: KeyError: 'x'", hint="tell its author")
    met = await ask(1, Check("answers", raising(fault)), NOWHERE, playbook="service")
    assert (met.evidence, met.hint, met.bug) == (fault.message, fault.hint, fault)
    assert (await ask(1, Check("answers", raising(PermanentError("no"))), NOWHERE)).bug is None


def test_phrase_that_is_the_whole_outcome_speaks_of_it() -> None:
    assert speaks_of(Check("answers", raising(), ("service mesh",)), "Service mesh")


async def test_check_sees_what_the_target_shows_and_what_steps_hand_off() -> None:
    target = FakeTarget(Path("out"))
    hello = Workload("hello", ("python",), HttpProbe("/"), ports=(Port(number=8000),))
    await target.apply(Desired(Declaration((hello,))), discard)
    seen = WithHandoffs(target.live(), (Handoff(delivers="words"),), chaos=True)
    assert (seen.target, seen.out, seen.handoffs) == ("fake", Path("out"), (Handoff(delivers="words"),))
    assert seen.url(Endpoint("hello", path="/x")) == "http://hello.fake.invalid:8000/x"
    assert seen.secret(SecretFile("admin")) == "secret-of-admin"
    (copy,) = seen.instances("hello")
    assert copy.workload == "hello"
    await seen.kill(copy)
    assert (await target.observe())["hello"].state == "stopped"


async def test_what_a_journey_waits_for_is_told_with_its_step_its_last_answer_and_the_time_left(lab: Lab) -> None:
    answers = iter((TemporaryError("503", delay=0.0), None))

    async def later() -> str:
        if error := next(answers):
            raise error
        return "200 OK"

    lab.world.answers, lab.world.proves, lab.world.patience = {"b mesh": later}, {"b mesh": "mesh"}, 17.0
    assert await lab.run(lab.document("a", "b", outcomes=("Service mesh",))) == "succeeded"
    first, again = (each for each in lab.said(Waiting) if each.waiting_for == "check `b mesh`")
    assert first == Waiting(2, "check `b mesh`", remaining=17.0)
    assert (again.step, again.answer) == (2, "503")
    assert again.remaining is not None
    assert 0 < again.remaining == round(again.remaining, 1) <= 17


async def test_bug_of_a_check_in_a_journey_is_blamed_on_its_playbook_with_the_traceback_in_a_log(lab: Lab) -> None:
    async def broken() -> str:
        raise KeyError("token")

    lab.world.answers, lab.world.proves = {"b mesh": broken}, {"b mesh": "mesh"}
    assert await lab.run(lab.document("a", "b")) == "failed"
    (outcome,) = lab.said(RunFinished)[0].outcomes
    said = "the check itself failed, a bug of the playbook `service`: KeyError: 'token'"
    assert (outcome.text, outcome.verdict, outcome.evidence) == ("b mesh", "failed", (said,))
    log = lab.folder / "state/logs/run1.log"
    assert lab.said(Notice) == [Notice(f"the report of check `b mesh` is `{log}`", 2)]
    assert "Traceback (most recent call last):" in log.read_text()
