"""The checks of playbooks: retried until their deadline, run as journeys, compared with the expected outcomes."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import shorten
from types import MappingProxyType

from stepflow.blame import OUTSIDE, PluginError, blaming, bug_of, called, every, expect, words
from stepflow.engine.desired import DesiredStep
from stepflow.engine.reports import write_report
from stepflow.errors import PermanentError, StepflowError, TemporaryError
from stepflow.events import Checked, Emit, Notice, Outcome, Waiting
from stepflow.handoff import Endpoint, Handoff, SecretFile
from stepflow.playbook import Check
from stepflow.workload import CheckContext, Instance, Live

WITHOUT_CHAOS = "left out, since it kills a replica: `stepflow verify --chaos` includes it"
_LONGEST_ANSWER = 240  # characters
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.05, 1.0, 1.6


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check."""

    step: int
    check: Check
    passed: bool
    evidence: str
    hint: str = ""
    log: str = ""
    bug: BaseException | None = None  # what a plugin raised though it may not
    late: bool = False  # it was not answered at all, neither well nor badly


@dataclass(slots=True)
class Nowhere:
    """The view that checks get of a platform that has no workload: there is a rendered tree and nothing else."""

    target: str
    out: Path

    def url(self, endpoint: Endpoint) -> str:
        """Refuse: no workload exists."""
        raise PermanentError(f"there is no workload `{endpoint.workload}`")

    def secret(self, secret: SecretFile) -> str:
        """Refuse: no secret exists."""
        raise PermanentError(f"there is no secret `{secret.name}`")

    def instances(self, workload: str) -> tuple[Instance, ...]:
        """List nothing."""
        del workload
        return ()

    async def kill(self, instance: Instance) -> None:
        """Refuse: nothing runs."""
        raise PermanentError(f"there is no instance `{instance.name}`")


@dataclass(slots=True)
class WithHandoffs:
    """Implements `stepflow.workload.CheckContext`: what a target shows, and what steps hand off."""

    live: Live
    handoffs: tuple[Handoff, ...]
    chaos: bool = False  # replicas may be killed
    target: str = field(init=False)
    out: Path = field(init=False)

    def __post_init__(self) -> None:
        self.target, self.out = self.live.target, self.live.out

    def url(self, endpoint: Endpoint) -> str:
        """Resolve a reference."""
        return self.live.url(endpoint)

    def secret(self, secret: SecretFile) -> str:
        """Read a secret's text."""
        return self.live.secret(secret)

    def instances(self, workload: str) -> tuple[Instance, ...]:
        """List the running copies of a workload."""
        return self.live.instances(workload)

    async def kill(self, instance: Instance) -> None:
        """End one copy with SIGKILL. Raises `PermanentError` for a check that does not say that it does so."""
        if not self.chaos:
            hint = "`chaos=True` in its `Check`; then `stepflow verify --chaos` asks it"
            raise PermanentError(f"the check may not kill `{instance.name}`: it is not marked as chaos", hint=hint)
        await self.live.kill(instance)


def checks_of(each: DesiredStep) -> tuple[Check, ...]:
    """Return the checks of a step. Raises `StepflowError` when its playbook does, and `PluginError` that blames it."""
    with blaming("playbook", each.playbook.name, f"at step {each.input.number}"):
        found = every(each.playbook.checks(each.input), Check, "checks()")
        for check in found:
            if not (isinstance(check.timeout, int | float | None) and callable(check.run)):
                raise TypeError(f"the check `{check.name}` has no timeout in seconds, or cannot be called")
        return tuple(
            replace(
                check, proves=every(check.proves, str, "Check.proves"), needs=every(check.needs, str, "Check.needs")
            )
            for check in found
        )


async def ask(
    step: int,
    check: Check,
    live: CheckContext,
    *,
    playbook: str = "",
    silence: float | None = None,
    told: Callable[[str, float], None] | None = None,
) -> CheckResult:
    """Run the check until it passes, fails for good, or its timeout is over; one without a timeout runs once.

    With `silence`, the result is late when a try has no answer for so many seconds. `told` is called after each try
    with the answer and the seconds that remain. What the check may not raise is blamed on its `playbook`.
    """
    allowed = check.timeout or 0.0
    deadline = time.monotonic() + allowed
    pause, last = _FIRST_PAUSE, "no answer"
    while True:
        remaining = max(deadline - time.monotonic(), 0.01)
        longest = None if check.timeout is None else min(remaining, silence or remaining)
        try:
            async with asyncio.timeout(longest):
                said = expect(await check.run(live), str, "Check.run()")
                return CheckResult(step, check, passed=True, evidence=one_line(said))
        except OUTSIDE:
            raise
        except BaseException as error:  # noqa: BLE001 - a check is a plugin's code: whatever it raises is its answer
            if not _may_pass(error):
                return _refused(step, check, error, playbook)
            if check.timeout is None:
                return CheckResult(step, check, passed=False, evidence=one_line(str(error)) or last)
            if silence and _unanswered(error):
                return CheckResult(step, check, passed=False, evidence=last, late=True)
            last = one_line(str(error)) or last
            delay = error.delay if isinstance(error, TemporaryError) and error.delay is not None else pause
        remaining = deadline - time.monotonic()
        if remaining <= delay:
            return CheckResult(step, check, passed=False, evidence=f"timeout after {allowed:g} s: {last}")
        if told:
            told(last, remaining)
        await asyncio.sleep(delay)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)


def judge(
    outcomes: Sequence[str],
    answers: Sequence[CheckResult],
    run: int,
    unasked: Mapping[Check, str] = MappingProxyType({}),
) -> tuple[Outcome, ...]:
    """Judge the document's expected outcomes: each is verified by all checks that concern it.

    `unasked` says why some were not asked; an outcome that only these concern is not verified, for that reason.
    """
    return tuple(_judge(text, answers, run, unasked) for text in outcomes)


def speaks_of(check: Check, outcome: str) -> bool:
    """Return whether all words of one of the check's phrases stand in the outcome."""
    words = _words(outcome)
    return any(phrase and _words(phrase) <= words for phrase in check.proves)


def _judge(text: str, answers: Sequence[CheckResult], run: int, unasked: Mapping[Check, str]) -> Outcome:
    speaking = [answer for answer in answers if speaks_of(answer.check, text)]
    evidence = tuple(f"{answer.check.name}: {answer.evidence}" for answer in speaking)
    left_out = {check: f"{check.name}: {why}" for check, why in unasked.items() if speaks_of(check, text)}
    if not speaking:
        return Outcome(text, "not verified", tuple(left_out.values()) or ("no step's playbook checks this",))
    evidence += tuple(said for check, said in left_out.items() if check.chaos)
    return Outcome(text, "verified" if all(answer.passed for answer in speaking) else "failed", evidence, run)


def one_line(text: str) -> str:
    """Return an answer as one line of at most 240 characters, cut at a word."""
    return shorten(text, _LONGEST_ANSWER, placeholder=" …")


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def _refused(step: int, check: Check, error: BaseException, playbook: str) -> CheckResult:
    if isinstance(error, StepflowError):
        bug = error if isinstance(error, PluginError) else None  # of the target
        said, hint, log = one_line(error.message), error.hint, error.log
        return CheckResult(step, check, passed=False, evidence=said, hint=hint, log=log, bug=bug)
    whose = f", a bug of {called('playbook', playbook)}" if playbook else ""
    said = one_line(f"the check itself failed{whose}: {words(error)}")
    hint = bug_of("playbook", playbook) if playbook else ""
    return CheckResult(step, check, passed=False, evidence=said, hint=hint, bug=error)


def _may_pass(error: BaseException) -> bool:
    """Return whether a retry can help: network errors count as temporary."""
    return isinstance(error, (TemporaryError, TimeoutError, ConnectionError, *_of_clients("TransportError")))


def _unanswered(error: BaseException) -> bool:
    """Return whether there was no answer, good or bad, for as long as the check waited."""
    return isinstance(error, (TimeoutError, *_of_clients("TimeoutException")))


def _of_clients(name: str) -> tuple[type[BaseException], ...]:
    """Return the exceptions of this name of the HTTP clients that are loaded."""
    clients = (sys.modules.get(client) for client in ("httpx2", "httpx"))
    return tuple(getattr(client, name) for client in clients if client)


async def verify(
    desired: Iterable[DesiredStep],
    live: Live,
    expected: Sequence[str],
    *,
    run: int,
    emit: Emit,
    log: Path,
    chaos: bool = False,
) -> tuple[Outcome, ...]:
    """Run the journeys one after the other (one may kill what another passes through), and judge the outcomes.

    Those that kill replicas are left out unless there is to be `chaos`. A check whose phrases match none of the
    expected outcomes stands as an outcome of its own when it fails. The traceback of a check that itself failed goes
    into the log.
    """
    desired = tuple(desired)
    handoffs = tuple(each.handoff for each in desired)
    declared = {workload.name for each in desired for workload in each.declaration.workloads}
    answers, unasked = [], {}
    for each, check in _journeys(desired):
        step = each.input.number
        if absent := [f"`{name}`" for name in check.needs if name not in declared]:
            unasked[check] = f"needs {' and '.join(absent)}, which no step of this document runs"
            continue
        if check.chaos and not chaos:
            unasked[check] = WITHOUT_CHAOS
            continue
        answer = await _ask(each, check, WithHandoffs(live, handoffs, chaos=check.chaos), emit)
        emit(Checked(step, check.name, answer.passed, answer.evidence))
        if answer.bug and (path := write_report(answer.bug, log)):
            emit(Notice(f"the report of check `{check.name}` is `{path}`", step))
        answers.append(answer)
    spoken = judge(expected, answers, run, unasked)
    heard = {line for outcome in spoken for line in outcome.evidence}
    unheard = (a for a in answers if not a.passed and f"{a.check.name}: {a.evidence}" not in heard)
    return (*spoken, *(Outcome(a.check.name, "failed", (a.evidence,), run) for a in unheard))


def _journeys(desired: Iterable[DesiredStep]) -> list[tuple[DesiredStep, Check]]:
    """List the journeys, and the quick postconditions that prove an outcome."""
    return [(each, check) for each in desired for check in checks_of(each) if check.when == "run" or check.proves]


async def _ask(each: DesiredStep, check: Check, context: CheckContext, emit: Emit) -> CheckResult:
    step = each.input.number

    def told(answer: str, remaining: float) -> None:
        emit(Waiting(step, f"check `{check.name}`", answer, round(remaining, 1)))

    emit(Waiting(step, f"check `{check.name}`", remaining=check.timeout))
    return await ask(step, check, context, playbook=each.playbook.name, told=told)
