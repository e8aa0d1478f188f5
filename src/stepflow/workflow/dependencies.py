"""Reads the dependencies that a document states.

They are in the field `RelyPreviousStep` (yes, no, or steps by name, each with an optional reason), and in the lines
`Step 4 -> Step 2 (reason)` of the section `Dependency Chain Analysis`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from stepflow.errors import Span
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
