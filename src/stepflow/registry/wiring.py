"""Finds which handoffs each step takes: from the nearest steps that give them, or from every earlier one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from stepflow.errors import Diagnostic
from stepflow.handoff import Handoff
from stepflow.playbook import Playbook, Settings, Takes
from stepflow.workflow import Step, listed

_COLLECTED = 100_000
"""How many handoffs steps may collect, beyond one for each step."""


@dataclass(frozen=True, slots=True)
class ResolvedStep:
    """A step with its playbook and everything known before it runs."""

    step: Step
    playbook: Playbook | None
    settings: Settings
    features: Mapping[str, str]  # feature -> the words that selected it, or `default`
    takes: tuple[int, ...] = ()  # steps it relies on whose handoff it takes
    collects: tuple[int, ...] = ()  # earlier steps whose handoff it collects


@dataclass(frozen=True, slots=True)
class Wiring:
    """The steps of a workflow by number, in their order, and what each relies on; what is found is kept."""

    steps: Mapping[int, ResolvedStep]
    relies: Mapping[int, Sequence[int]]
    _givers: dict[type[Handoff], list[int]] = field(default_factory=dict)
    _nearest: dict[type[Handoff], dict[int, tuple[int, tuple[int, ...]]]] = field(default_factory=dict)

    def givers(self, wanted: type[Handoff], before: int) -> list[int]:
        """Return the steps before one that give a handoff."""
        if wanted not in self._givers:
            self._givers[wanted] = [number for number in self.steps if self._gives(number, wanted)]
        return self._givers[wanted][: bisect_left(self._givers[wanted], before)]

    def last_giver(self, wanted: type[Handoff], before: int) -> int | None:
        """Return the last step before one that gives a handoff."""
        self.givers(wanted, 0)
        at = bisect_left(self._givers[wanted], before)
        return self._givers[wanted][at - 1] if at else None

    def nearest(self, wanted: type[Handoff], number: int) -> tuple[int, ...]:
        """Return the nearest steps that give a handoff: those that a step relies on, else those that these rely on."""
        if wanted not in self._nearest:
            found: dict[int, tuple[int, tuple[int, ...]]] = {}  # how far away, and which
            for each in self.steps:
                self._find_nearest(wanted, each, found)
            self._nearest[wanted] = found
        return self._nearest[wanted].get(number, (0, ()))[1]

    def _find_nearest(self, wanted: type[Handoff], number: int, found: dict[int, tuple[int, tuple[int, ...]]]) -> None:
        """Find the nearest givers above a step, those above every earlier step being known."""
        sources = [source for source in self.relies.get(number, ()) if source in self.steps]
        if near := tuple(sorted({source for source in sources if self._gives(source, wanted)})):
            found[number] = 1, near
            return
        above = [found[source] for source in sources if source in found]
        if not above:
            return
        least = min(distance for distance, _ in above)
        sets = {id(each): each for distance, each in above if distance == least}  # mostly one, which all share
        far = (
            next(iter(sets.values()))
            if len(sets) == 1
            else tuple(sorted({giver for one in sets.values() for giver in one}))
        )
        found[number] = least + 1, far

    def _gives(self, number: int, wanted: type[Handoff]) -> bool:
        playbook = self.steps[number].playbook
        return playbook is not None and issubclass(playbook.gives, wanted)


def wire(
    steps: Sequence[ResolvedStep], relies: Mapping[int, Sequence[int]]
) -> tuple[tuple[ResolvedStep, ...], list[Diagnostic]]:
    """Return the steps with what they take and collect, and each handoff that is needed and not given."""
    wiring = Wiring({resolved.step.number: resolved for resolved in steps}, relies)
    problems: list[Diagnostic] = []
    wired = []
    left = len(steps) + _COLLECTED
    for resolved in steps:
        number = resolved.step.number
        takes: Collection[int] = ()
        collects: Collection[int] = ()
        for taken in resolved.playbook.takes if resolved.playbook else ():
            if taken.collects:
                found: Collection[int] = wiring.givers(taken.handoff, number) if left > 0 else ()
                collects = found if not collects else {*collects, *found}
            else:
                found = wiring.nearest(taken.handoff, number)
                takes = found if not takes else {*takes, *found}
            if taken.required and not found and left > 0:
                problems.append(_missing(resolved, taken, wiring))
        if left > 0 and left < len(collects):
            problems.append(_too_many(resolved))
        left -= len(collects)
        kept = tuple(sorted(collects)) if left >= 0 else ()
        wired.append(
            replace(resolved, takes=takes if isinstance(takes, tuple) else tuple(sorted(takes)), collects=kept)
        )
    return tuple(wired), problems


def _missing(resolved: ResolvedStep, taken: Takes, wiring: Wiring) -> Diagnostic:
    step = resolved.step
    assert resolved.playbook is not None
    wanted = taken.handoff.__name__
    message = f"playbook `{resolved.playbook.name}` of step {step.number} takes a `{wanted}`, "
    relies = wiring.relies.get(step.number, ())
    message += "but no earlier step gives one" if taken.collects else _relied_on(relies)
    hint = f"add a step before it whose playbook gives a `{wanted}`: `stepflow playbooks` lists what each gives"
    giver = wiring.last_giver(taken.handoff, step.number)
    if giver is not None:
        hint = f"step {giver} gives one: write `- RelyPreviousStep: Step {giver}`"
    given = step.fields.get("relypreviousstep")
    return Diagnostic("SF306", "error", given.span if given else step.span, message, hint)


def _relied_on(relies: Sequence[int]) -> str:
    if not relies:
        return "but the step relies on no other"
    names = listed((f"step {number}" for number in sorted(relies)), len(relies))
    return f"but {names}, which it relies on, and the steps before {'it' if len(relies) == 1 else 'them'} give none"


def _too_many(resolved: ResolvedStep) -> Diagnostic:
    step = resolved.step
    assert resolved.playbook is not None
    given = step.fields.get("playbook")
    message = f"with step {step.number}, steps collect more than {_COLLECTED:,} handoffs: `{resolved.playbook.name}` "
    message += "collects that of every earlier step"
    hint = "use it once, at the end"
    return Diagnostic("SF312", "error", given.value_span if given else step.span, message, hint)
