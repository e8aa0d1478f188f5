"""Which step relies on which, as the document states it.

Steps are named in the field `RelyPreviousStep` (yes, no, or steps, each with an optional reason), else in the lines
`Step 4 -> Step 2 (reason)` of the section `Dependency Chain Analysis`; else the main chain counts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from stepflow.errors import Span
from stepflow.workflow.model import Edge, Step
from stepflow.workflow.sections import Reading, Section, plain

_YES = frozenset({"yes", "true", "1"})
_NO = frozenset({"no", "false", "0"})
_DASH = r"[ \t]*(?:[ \t]-+[ \t]|[\u2013\u2014])[ \t]*"
_FLAG = re.compile(rf"(?P<flag>[a-z]+|[01])[.!]?[ \t]*(?:(?:{_DASH}|[(:,])(?P<why>.*))?", re.IGNORECASE | re.DOTALL)
_STEPS = re.compile(
    r"(?:[ \t\n,;&]|and\b|[-*+][ \t])*steps?[ \t]*#?[ \t]*(?P<numbers>[0-9]{1,9}"
    r"(?:[ \t]*(?:,[ \t]*and\b|,|&|\band\b)[ \t]*#?[0-9]{1,9})*)(?![0-9])",
    re.IGNORECASE,
)
_WHY = re.compile(
    rf"(?:{_DASH}(?P<dash>.*?)|[ \t]*\((?P<paren>[^()\n]*)\)[ \t]*)"
    r"(?=[ \t]*(?:[,;\n&]|\band\b)[-*+ \t\n]*steps?[ \t]*\#?[ \t]*[0-9]|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_ARROWS = re.compile(r"<?[-=\u2013\u2014]{1,3}>|<[-=]{1,2}|[\u2192\u2190\u27f6\u27f5\u21d2\u21d0\u2794]")
_TOKENS = re.compile(rf"(?P<arrow>{_ARROWS.pattern})|(?P<open>\()|(?P<close>\))")
_NUMBERS = re.compile(
    r"\bsteps?[ \t]*#?[ \t]*(?P<numbers>[0-9]{1,9}(?:[ \t]*(?:,[ \t]*and\b|,|&|\band\b)[ \t]*#?[0-9]{1,9})*)(?![0-9])",
    re.IGNORECASE,
)
_BARE = re.compile(r"^[-*+\s]*#?([0-9]{1,9})\b")
_TRAILING = re.compile(r"^[^(]*?[ \t](?:-+|[\u2013\u2014])[ \t]+(?P<why>.+)$|^[^(:]*:[ \t]*(?P<colon>.+)$")
FIELD = "relypreviousstep"
_SHOWN = 12  # numbers in a hint


@dataclass(frozen=True, slots=True)
class Relies:
    """What a field says: a flag, or step numbers with their reasons."""

    flag: bool | None
    why: str = ""
    named: tuple[tuple[int, str], ...] = ()


def read_relies(value: str) -> Relies | None:
    """Read the field's value; None if it is neither yes, no, nor a list of steps."""
    text = re.sub(r"[ \t]+", " ", value).strip("`*_\"' \n")
    flag = _FLAG.fullmatch(text)
    if flag and flag["flag"].lower() in _YES | _NO:
        why = (flag["why"] or "").strip().removesuffix(")") if flag["why"] else ""
        return Relies(flag["flag"].lower() in _YES, " ".join(why.split()))
    named: dict[int, str] = {}
    at = 0
    while at < len(text):
        steps = _STEPS.match(text, at)
        if not steps:
            break
        at = steps.end()
        why = _WHY.match(text, at)
        reason = ""
        if why:
            at = why.end()
            reason = " ".join((why["dash"] or why["paren"] or "").split())
        for number in re.findall(r"[0-9]+", steps["numbers"]):
            named.setdefault(int(number), reason)
    rest = text[at:].strip(" \t\n.,;")
    return Relies(None, named=tuple(named.items())) if named and not rest else None


@dataclass(frozen=True, slots=True)
class Arrow:
    """Two steps joined by an arrow, in the order of the line."""

    left: int
    right: int
    reason: str
    span: Span


def is_chain(section: Section) -> bool:
    """Return whether a section's heading is `Dependency Chain Analysis`, or nearly so."""
    return section.heading is not None and "dependencychain" in re.sub(r"[\W_]+", "", section.title.lower())


def read_chain(reading: Reading, sections: list[Section], start: int) -> tuple[Arrow, ...]:
    """Read the arrows of the section at index `start` and of its subsections."""
    level = sections[start].level
    arrows: list[Arrow] = []
    for index in range(start, len(sections)):
        section = sections[index]
        if index > start and section.level <= level:
            break
        for block in section.blocks:
            if block.kind != "other":
                for offset, line in _lines(reading.source.text, block.start, block.end):
                    arrows += _read_line(reading, offset, line)
    return tuple(arrows)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    for line in text[start:end].splitlines(keepends=True):
        yield start, line
        start += len(line)


def _read_line(reading: Reading, offset: int, line: str) -> list[Arrow]:
    if not _ARROWS.search(line) or "step" not in line.lower():
        return []
    indent = len(line) - len(line.lstrip(" \t-*+"))
    span = reading.span(offset + indent, offset + len(line.rstrip()))
    parts = _split(line)
    sides = [_steps_in(part) for part in parts]
    if len(sides) > 1 and all(sides):
        why = _reason(parts[-1])
        pairs = pairwise(sides)
        return [Arrow(a, b, why, span) for left, right in pairs for a in left for b in right]
    if any(sides):
        message = f"this line of the dependency section cannot be read: `{' '.join(line.split())}`"
        reading.report("SF205", span, message, "write `Step 4 \u2192 Step 2 (reason)`", "warning")
    return []


def _split(line: str) -> list[str]:
    """Split at the arrows outside of parentheses; a reason may contain arrows."""
    parts, depth, last = [], 0, 0
    for token in _TOKENS.finditer(line):
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth = max(0, depth - 1)
        elif not depth:
            parts.append(line[last : token.start()])
            last = token.end()
    return [*parts, line[last:]]


def _steps_in(part: str) -> list[int]:
    outside = part.partition("(")[0] if _NUMBERS.search(part.partition("(")[0]) else part
    found = [int(n) for match in _NUMBERS.finditer(outside) for n in re.findall(r"[0-9]+", match["numbers"])]
    bare = _BARE.match(part)
    return list(dict.fromkeys(found)) or ([int(bare[1])] if bare else [])


def _reason(part: str) -> str:
    words = plain(part.strip().rstrip(".;"))
    opened = words.find("(")
    if opened >= 0 and words.endswith(")"):
        return words[opened + 1 : -1].strip()
    match = _TRAILING.match(words)
    return (match["why"] or match["colon"]).strip() if match else ""


def make_edges(
    reading: Reading, steps: Sequence[Step], arrows: Sequence[Arrow], section: Span | None
) -> tuple[Edge, ...]:
    """Find the edges of a workflow, each once, by target and source; an edge runs from the lower to the higher
    number.
    """
    numbers = {step.number: index for index, step in enumerate(steps)}
    said = {step.number: _read(reading, step, [each.number for each in steps[:at]]) for at, step in enumerate(steps)}
    documented = _documented(reading, arrows, numbers)
    cycle = _report_cycle(reading, steps, said)
    edges: list[Edge] = []
    main = steps[0].number if steps else 0
    for step in steps:
        relies = said[step.number]
        if relies.named:
            edges += _named(reading, step, relies, numbers, cycle)
        elif arrows:
            edges += documented.get(step.number, {}).values()
        elif relies.flag is not False and step.number != steps[0].number:
            edges.append(Edge(main, step.number, relies.why, _place(step)))
        if relies.flag is not False:
            main = step.number
    if steps and said[steps[0].number].flag:
        message = f"step {steps[0].number} is the first one, so it cannot rely on an earlier step"
        reading.report("SF201", _place(steps[0]), message, "remove the field, or write `- RelyPreviousStep: no`")
    if section:
        _compare(reading, steps, said, documented, section)
    return tuple(edges)


def _place(step: Step) -> Span:
    return step.fields[FIELD].value_span if FIELD in step.fields else step.span


def _read(reading: Reading, step: Step, earlier: Collection[int]) -> Relies:
    given = step.fields.get(FIELD)
    if given is None:
        return Relies(None)
    if not given.value:
        message = f"`{given.key}` is empty, and read as `yes`, as if it were missing"
        reading.report("SF110", given.span, message, "write `yes`, `no`, or the steps: `Step 2, Step 5`", "warning")
        return Relies(None)
    relies = read_relies(given.value)
    if relies is None:
        shown = " ".join(given.value.split())[:60]
        message = f"`{given.key}: {shown}` is neither yes, nor no, nor a list of steps"
        hint = "write `yes`, `no`, or the steps: `Step 2, Step 5 - why`"
        if shown.isdigit() and int(shown) in earlier:
            hint = f"did you mean `Step {shown}`?"
        reading.report("SF111", given.value_span, message, hint)
        return Relies(None)
    return relies


def _named(
    reading: Reading, step: Step, relies: Relies, numbers: Mapping[int, int], cycle: Collection[int]
) -> list[Edge]:
    edges = []
    place = _place(step)
    for number, why in relies.named:
        if number not in numbers:
            sentence = f"step {step.number} relies on step {number}"
            named = {each for each, _ in relies.named}
            meant = [each for each, at in numbers.items() if at < numbers[step.number] and each not in named]
            _report_unknown(reading, number, place, sentence, numbers, meant=meant)
        elif numbers[number] < numbers[step.number]:
            edges.append(Edge(number, step.number, why, place))
        elif number == step.number:
            message = f"dependency cycle: step {number} relies on itself"
            reading.report("SF204", place, message, "name the step that it really relies on")
        elif not {number, step.number} <= set(cycle):
            message = f"step {step.number} relies on step {number}, which comes after it"
            hint = (
                f"make step {number} rely on step {step.number}, or renumber them: a step relies on earlier ones only"
            )
            reading.report("SF203", place, message, hint)
    return sorted(edges, key=lambda edge: edge.source)


def _documented(
    reading: Reading, arrows: Sequence[Arrow], numbers: Mapping[int, int]
) -> Mapping[int, Mapping[int, Edge]]:
    edges: dict[int, dict[int, Edge]] = {}
    for arrow in arrows:
        unknown = [number for number in (arrow.left, arrow.right) if number not in numbers]
        for number in unknown:
            named = {each for other in arrows if other.span == arrow.span for each in (other.left, other.right)}
            meant = [each for each in numbers if each not in named]
            _report_unknown(reading, number, arrow.span, f"this line names step {number}", numbers, meant=meant)
        if unknown:
            continue
        source, target = sorted((arrow.left, arrow.right))
        if source == target:
            message = f"dependency cycle: step {source} relies on itself"
            reading.report("SF204", arrow.span, message, "name the step that it really relies on")
        else:
            edges.setdefault(target, {}).setdefault(source, Edge(source, target, arrow.reason, arrow.span))
    return {target: dict(sorted(by_source.items())) for target, by_source in edges.items()}


def _report_unknown(
    reading: Reading,
    number: int,
    place: Span,
    sentence: str,
    numbers: Mapping[int, int],
    *,
    meant: Collection[int],
) -> None:
    """Report a step that there is not; `meant` are those that could be named there instead."""
    nearest = min(meant, key=lambda known: abs(known - number), default=None)
    message = f"{sentence}, but there is no step {number}"
    hint = "" if nearest is None else f"did you mean `Step {nearest}`? "
    hint += f"the only step is {_spell(numbers)}" if len(numbers) == 1 else f"the steps are {_spell(numbers)}"
    reading.report("SF202", place, message, hint)


def _spell(numbers: Mapping[int, int]) -> str:
    known = sorted(numbers)
    if len(known) > 1 and known[-1] - known[0] == len(known) - 1:
        return f"{known[0]} to {known[-1]}"
    return ", ".join(str(number) for number in known[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")


def _report_cycle(reading: Reading, steps: Sequence[Step], said: Mapping[int, Relies]) -> tuple[int, ...]:
    """Report the first dependency cycle and return its steps; a second one shows as a forward reference."""
    graph = {
        step.number: [number for number, _ in said[step.number].named if number in said and number != step.number]
        for step in steps
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        path: list[int] = error.args[1]
        first = next(step for step in steps if step.number == min(path))
        cycle = " \u2192 ".join(str(number) for number in path)
        message = f"dependency cycle: {cycle}"
        hint = "remove one of these references: a step relies on earlier ones only"
        reading.report("SF204", _place(first), message, hint)
        return tuple(path)
    return ()


def _compare(
    reading: Reading,
    steps: Sequence[Step],
    said: Mapping[int, Relies],
    documented: Mapping[int, Mapping[int, Edge]],
    section: Span,
) -> None:
    """Warn where a step's field and the dependency section disagree."""
    for step in steps[1:]:
        relies, edges = said[step.number], documented.get(step.number, {})
        where = min((edge.span.line for edge in edges.values()), default=section.line)
        if relies.flag and not edges and documented:
            says, other = "yes", f"the dependency section (line {where}) has no line for it: it relies on nothing"
        elif relies.flag is False and edges:
            names = " and ".join(f"step {source}" for source in edges)
            says = "no"
            other = f"line {where} of the dependency section makes it rely on {names}: the section takes precedence"
        elif relies.named and edges and {number for number, _ in relies.named} != set(edges):
            names = " and ".join(f"step {source}" for source in edges)
            says = step.fields[FIELD].value
            other = f"line {where} of the dependency section makes it rely on {names}: the field takes precedence"
        else:
            continue
        place = _place(step)
        message = f"step {step.number} says `RelyPreviousStep: {says}` (line {place.line}), but {other}"
        reading.report("SF206", place, message, "make both say the same", "warning")
