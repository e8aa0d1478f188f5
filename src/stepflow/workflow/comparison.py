"""Compares what a document states twice: the field of a step, its reason, and the dependency section."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from stepflow.errors import Span
from stepflow.workflow.chain import Sentence
from stepflow.workflow.edges import Edges, Stated, place
from stepflow.workflow.excerpt import excerpt, listed
from stepflow.workflow.model import Step
from stepflow.workflow.references import mentioned
from stepflow.workflow.relies import FIELD
from stepflow.workflow.sections import Reading

_ABOVE = 1_000  # steps that are looked at for one that a reason mentions, or of a range in prose
_LOOSE = 8  # steps of a sentence


def compare(reading: Reading, stated: Stated, section: Span | None) -> None:
    """Report where a document contradicts itself; `section` is the heading of its dependency section."""
    for step in stated.steps:
        _compare_reasons(reading, stated, step)
    if section:
        for step in stated.steps[1:]:
            _compare_step(reading, stated, step, section)
        for said in stated.chain.alone:
            _compare_alone(reading, stated, said)
        for said in stated.chain.loose:
            _compare_loose(reading, stated, said)


def _compare_reasons(reading: Reading, stated: Stated, step: Step) -> None:
    """Report an earlier step that a reason mentions, where the step does not rely on it, directly or through others.

    `yes` does not say which step is meant, so its reason may: that is an error. Where steps are named, it is a warning.
    """
    relies = stated.fields[step.number]
    for why in [relies.why] if relies.flag else dict.fromkeys(each.why for each in relies.named):
        for number in dict.fromkeys(mentioned(why)) if "step" in why.lower() else ():
            known = number < step.number and number in stated.numbers.places
            if known and not _is_above(number, step.number, stated.edges):
                message = f"the reason mentions step {number}, but step {step.number} does not rely on it"
                hint = f"if it does, name it: `Step {number} - why`; if not, leave its number out of the reason"
                reading.report("SF209", place(step), message, hint, "error" if relies.flag else "warning")
                return


def _is_above(number: int, target: int, edges: Edges) -> bool:
    """Return whether a step relies on an earlier one, directly or through others; only so many are looked at."""
    seen = {target}
    ahead = [target]
    while ahead and len(seen) < _ABOVE:
        sources = edges.get(ahead.pop(), {})
        if number in sources:
            return True
        for source in sources:
            if source > number and source not in seen and len(seen) < _ABOVE:
                seen.add(source)
                ahead.append(source)
    return False


def _compare_step(reading: Reading, stated: Stated, step: Step, section: Span) -> None:
    relies, edges = stated.fields[step.number], stated.documented.get(step.number, {})
    where = min((edge.span.line for edge in edges.values()), default=section.line)
    if relies.flag and not edges and stated.documented:
        says, other = "yes", f"the dependency section (line {where}) has no line for it: it relies on nothing"
    elif relies.flag is False and edges:
        says = "no"
        other = f"line {where} of the dependency section makes it rely on {_names(edges)}: the section takes precedence"
    elif relies.named and edges and {number for number, _ in stated.numbers.within(relies.named)} != set(edges):
        says = excerpt(step.fields[FIELD].value)
        other = f"line {where} of the dependency section makes it rely on {_names(edges)}: the field takes precedence"
    else:
        return
    message = f"step {step.number} says `RelyPreviousStep: {says}` (line {place(step).line}), but {other}"
    reading.report("SF206", place(step), message, "make both say the same", "warning")


def _compare_alone(reading: Reading, stated: Stated, said: Sentence) -> None:
    """Warn where the section calls steps independent that rely on others."""
    named = (number for number, _ in stated.numbers.within(said.named))
    numbers = islice(named, _ABOVE) if said.named else stated.numbers.all
    wrong = [number for number in dict.fromkeys(numbers) if stated.edges.get(number)]
    if not wrong:
        return
    shown = listed((f"step {number} (line {stated.place(number).line})" for number in wrong), len(wrong))
    relies = f"relies on {_names(stated.edges[wrong[0]])}" if len(wrong) == 1 else "rely on others"
    what = "calls every step independent" if not said.named else "calls it independent"
    if said.named and len(wrong) > 1:
        what = "calls them independent"
    message = f"{shown} {relies}, but this line of the dependency section {what}"
    reading.report("SF206", said.span, message, "make both say the same: `- RelyPreviousStep: no`", "warning")


def _compare_loose(reading: Reading, stated: Stated, said: Sentence) -> None:
    """Warn where a sentence seems to say what no edge does."""
    places = stated.numbers.places
    steps = {each.first for each in said.named[:_LOOSE] if each.first in places}
    others = {number for number in said.others[:_LOOSE] if number in places}
    if not steps or not others or any(_joins(one, other, stated.edges) for one in steps for other in others):
        return
    message = "this line of the dependency section has no arrow, so it makes no edge"
    highest, lowest = max(steps | others), min(steps | others)
    hint = f"write `- Step {highest} \u2192 Step {lowest} (reason)` if it is one"
    reading.report("SF210", said.span, message, hint, "warning")


def _joins(one: int, other: int, edges: Edges) -> bool:
    source, target = sorted((one, other))
    return source in edges.get(target, {})


def _names(sources: Collection[int]) -> str:
    return listed((f"step {source}" for source in sources), len(sources))
