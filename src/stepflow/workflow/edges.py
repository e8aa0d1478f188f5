"""Which step relies on which, as the document states it.

Steps are named in the field `RelyPreviousStep` (yes, no, or steps, each with an optional reason), else in the lines
`Step 4 -> Step 2 (reason)` of the section `Dependency Chain Analysis`; else the main chain counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from stepflow.errors import Span
from stepflow.workflow.chain import Arrows, Chain
from stepflow.workflow.excerpt import listed
from stepflow.workflow.model import Edge, Step
from stepflow.workflow.numbers import StepNumbers
from stepflow.workflow.references import Named
from stepflow.workflow.relies import FIELD, Relies, read_field
from stepflow.workflow.sections import Reading

Edges = Mapping[int, Mapping[int, Edge]]
"""Target -> source -> edge."""

_UNKNOWN = 3  # steps that there are not, of one place
_MADE = 100_000
"""How many edges ranges, and lists on both sides of an arrow, may make beyond the numbers that are written."""
_SHOWN = 12  # steps of a cycle


@dataclass(frozen=True, slots=True)
class Stated:
    """The steps of a workflow, and all that the document states about what they rely on."""

    steps: Sequence[Step]
    numbers: StepNumbers
    fields: Mapping[int, Relies]  # by the number of the step
    chain: Chain
    documented: Edges  # those of the dependency section
    edges: Edges  # those that count

    def place(self, number: int) -> Span:
        """Return where the field of a step stands, or its heading."""
        return place(self.steps[self.numbers.places[number]])


def place(step: Step) -> Span:
    """Return the place of the value of a step's field, or of its heading."""
    return step.fields[FIELD].value_span if FIELD in step.fields else step.span


def make_edges(reading: Reading, steps: Sequence[Step], chain: Chain) -> Stated:
    """Find the edges of a workflow, each once; an edge runs from the lower to the higher number."""
    numbers = StepNumbers(tuple(step.number for step in steps))
    fields = {step.number: read_field(reading, step, numbers) for step in steps}
    _bound(reading, steps, fields, numbers)
    documented = _documented(reading, chain.lines, numbers)
    cycle = _report_cycle(reading, steps, fields, numbers)
    edges: dict[int, Mapping[int, Edge]] = {}
    main = first = steps[0].number if steps else 0
    for step in steps:
        relies = fields[step.number]
        if relies.named:
            edges[step.number] = _named(reading, step, relies, numbers, cycle)
        elif chain.lines:
            edges[step.number] = documented.get(step.number, {})
        elif relies.flag is not False and step.number != first:
            edges[step.number] = {main: Edge(main, step.number, relies.why, place(step))}
        if relies.flag is not False:
            main = step.number
    if steps and fields[first].flag:
        message = f"step {first} is the first one, so it cannot rely on an earlier step"
        reading.report("SF201", place(steps[0]), message, "remove the field, or write `- RelyPreviousStep: no`")
    return Stated(steps, numbers, fields, chain, documented, edges)


def _bound(reading: Reading, steps: Sequence[Step], fields: dict[int, Relies], numbers: StepNumbers) -> None:
    """Report the first field with which ranges make too many edges, and leave such fields out."""
    made, reported = 0, False
    for step in steps:
        named = fields[step.number].named
        count = max(0, numbers.count(named) - len(named))
        if made + count <= _MADE:
            made += count
            continue
        fields[step.number] = Relies(None)
        if not reported:
            _report_bound(reading, place(step))
        reported = True


def _report_bound(reading: Reading, where: Span) -> None:
    message = f"with this line, ranges and lists of steps make more than {_MADE:,} edges"
    hint = "let a step in between rely on all of them, and the others on that one"
    reading.report("SF208", where, message, hint)


def _named(
    reading: Reading, step: Step, relies: Relies, numbers: StepNumbers, cycle: frozenset[int]
) -> Mapping[int, Edge]:
    edges: dict[int, Edge] = {}
    late: set[int] = set()
    where = place(step)
    for number, named in numbers.within(relies.named):
        if number < step.number:
            edges.setdefault(number, Edge(number, step.number, named.why, where))
        elif number == step.number or not {number, step.number} <= cycle:
            late.add(number)
    if step.number in late:
        _report_itself(reading, step.number, where)
        late.remove(step.number)
    if late:
        names = listed([f"step {number}" for number in sorted(late)], len(late))
        message = f"step {step.number} relies on {names}, which {'comes' if len(late) == 1 else 'come'} after it"
        hint = f"make step {min(late)} rely on step {step.number}, or renumber them: "
        reading.report("SF203", where, message, hint + "a step relies on earlier ones only")
    _report_missing(reading, relies.named, where, numbers, step.number)
    return {number: edges[number] for number in sorted(edges)}


def _documented(reading: Reading, lines: Sequence[Arrows], numbers: StepNumbers) -> Edges:
    """Make the edges of the dependency section."""
    edges: dict[int, dict[int, Edge]] = {}
    made = 0
    for line in lines:
        every = [named for side in line.sides for named in side]
        if _report_missing(reading, every, line.span, numbers):
            continue
        counts = [numbers.count(side) for side in line.sides]
        pairs = sum(left * right for left, right in pairwise(counts))
        made += max(0, pairs - len(every), sum(counts) - len(every))
        if made > _MADE:
            _report_bound(reading, line.span)
            break
        for one, other, why in _pairs(line, numbers):
            if one == other:
                _report_itself(reading, one, line.span)
                break
            source, target = sorted((one, other))
            edges.setdefault(target, {}).setdefault(source, Edge(source, target, why, line.span))
    return {target: dict(sorted(by_source.items())) for target, by_source in edges.items()}


def _pairs(line: Arrows, numbers: StepNumbers) -> Iterator[tuple[int, int, str]]:
    """Return each pair of steps that the arrows of a line join, and why: the reason stands at the line's end."""
    sides = [list(numbers.within(side)) for side in line.sides]
    why = line.sides[-1][-1].why if line.sides[-1] else ""
    last = len(sides) - 2
    for at, (left, right) in enumerate(pairwise(sides)):
        for one, _ in left:
            for other, named in right:
                yield one, other, (named.why or why) if at == last else why


def _report_missing(
    reading: Reading, named: Sequence[Named], where: Span, numbers: StepNumbers, target: int | None = None
) -> bool:
    """Report the steps that are named and that there are not; return whether there are such.

    `target` is the step that is said to rely on them; without one, a line of the dependency section names them.
    """
    missing = numbers.missing(named)
    written = {number for each in named for number in (each.first, each.last)}
    sentence = "this line names" if target is None else f"step {target} relies on"
    for number in missing[:_UNKNOWN]:
        nearest = numbers.nearest(number, written, target)
        message = f"{sentence} step {number}, but there is no step {number}"
        hint = "" if nearest is None else f"did you mean `Step {nearest}`? "
        reading.report("SF202", where, message, hint + numbers.spelled)
    if len(missing) > _UNKNOWN:
        message = f"{sentence} {len(missing) - _UNKNOWN} more steps that do not exist"
        reading.report("SF202", where, message, numbers.spelled)
    return bool(missing)


def _report_itself(reading: Reading, number: int, where: Span) -> None:
    message = f"dependency cycle: step {number} relies on itself"
    reading.report("SF204", where, message, "name the step that it really relies on")


def _report_cycle(
    reading: Reading, steps: Sequence[Step], fields: Mapping[int, Relies], numbers: StepNumbers
) -> frozenset[int]:
    """Report the first dependency cycle and return its steps; a second one shows as a forward reference."""
    graph = {
        step.number: [number for number, _ in numbers.within(fields[step.number].named) if number != step.number]
        for step in steps
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        path: list[int] = error.args[1]
        shown = [str(number) for number in path]
        if len(path) > _SHOWN + 1:
            shown[_SHOWN:-1] = [f"{len(path) - _SHOWN - 1} more"]
        first = steps[numbers.places[min(path)]]
        message = "dependency cycle: " + " \u2192 ".join(shown)
        hint = "remove one of these references: a step relies on earlier ones only"
        reading.report("SF204", place(first), message, hint)
        return frozenset(path)
    return frozenset()
