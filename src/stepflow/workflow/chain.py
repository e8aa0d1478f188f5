"""Reads the dependency section: its lines `Step 4 -> Step 2 (reason)`, and which steps it calls independent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stepflow.errors import Span
from stepflow.markdown import Block
from stepflow.workflow.excerpt import excerpt
from stepflow.workflow.references import Named, References, mentioned, read_references
from stepflow.workflow.sections import Reading, Section

_ARROW = r"<?(?<![-=\u2013\u2014])[-=\u2013\u2014]++>|<[-=]{1,2}|[\u2192\u2190\u27f6\u27f5\u21d2\u21d0\u2794]"
_ARROWS = re.compile(_ARROW)
_TOKENS = re.compile(rf"(?P<arrow>{_ARROW})|(?P<open>\()|(?P<close>\))")
_BULLET = re.compile(r"[ \t>|]*+(?:(?:[-*+]|[0-9]{1,9}[.)])[ \t]++)*+")
_LABEL = re.compile(r"[*_`]*+[^\W\d_][^:\uff1a(\d\n]{0,60}[:\uff1a][*_`]*+")
_NOTHING = frozenset(
    {"", "none", "nothing", "no step", "no steps", "n/a", "independent", "start", "begin", "end", "done"}
)
_ALL = re.compile(
    r"(?<!not )\b(?:all|every|each)\b[^.]{0,40}?\bsteps?\b[^.]{0,40}?\b(?:independent|parallel)\b"
    r"|\bno(?:ne of the)? steps? (?:depends?|rel(?:y|ies))\b|\bno (?:step )?dependencies\b",
    re.IGNORECASE,
)
_EXCEPT = re.compile(r"\b(?:except|but|apart|other than|unless)\b", re.IGNORECASE)
_ALONE = re.compile(r"\bindependent(?:ly)?\b(?! (?:of|from)\b)|\bno (?:step )?dependencies\b", re.IGNORECASE)
_NOT = re.compile(r"\b(?:not|never|cannot)\b|n['\u2019]t\b", re.IGNORECASE)
_RELIES = re.compile(r"\b(?:depends?|rel(?:y|ies)|needs?|requires?|waits?|follows?|after)\b|\|", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Arrows:
    """Steps joined by arrows, side by side in the order of the line; its reason is that of the last side."""

    sides: tuple[tuple[Named, ...], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Sentence:
    """A line without an arrow that says something of steps; no steps: of every one."""

    named: tuple[Named, ...]
    span: Span
    others: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """What a dependency section says."""

    lines: tuple[Arrows, ...] = ()
    alone: tuple[Sentence, ...] = ()  # calls steps independent
    loose: tuple[Sentence, ...] = ()  # seems to say that steps rely on the others


def is_chain(section: Section) -> bool:
    """Return whether a section's heading is `Dependency Chain Analysis`, or nearly so."""
    return section.heading is not None and "dependencychain" in re.sub(r"[\W_]+", "", section.title.lower())


def read_chain(reading: Reading, sections: Sequence[Section], start: int) -> Chain:
    """Read the section at index `start` and its subsections."""
    level = sections[start].level
    lines: list[Arrows] = []
    alone: list[Sentence] = []
    loose: list[Sentence] = []
    for index in range(start, len(sections)):
        section = sections[index]
        if index > start and section.level <= level:
            break
        under = bool(_ALONE.search(section.title))  # whether what is listed here is called independent
        for offset, line in _lines(reading.source.text, section.blocks):
            if _ARROWS.search(line):
                lines += _read_line(reading, offset, line)
            elif line.strip():
                under = _read_sentence(reading, offset, line, alone, loose, under=under)
    return Chain(tuple(lines), tuple(alone), tuple(loose))


def _lines(text: str, blocks: Sequence[Block]) -> Iterator[tuple[int, str]]:
    for block in blocks:
        start = block.start
        if block.kind == "other" and not text[start : start + 4].lstrip().startswith(">"):
            continue
        for line in text[start : block.end].splitlines(keepends=True):
            yield start, line
            start += len(line)


def _read_line(reading: Reading, offset: int, line: str) -> list[Arrows]:
    words = line.rstrip(" \t\n|")
    begin = _BULLET.match(words).end()  # type: ignore[union-attr]  # it matches anything
    spoken = "step" in words.lower()
    label = _LABEL.match(words, begin) if spoken else None
    first = label.end() if label and "step" not in label[0].lower() else begin
    parts = list(_split(words, first))
    sides = [_side(words[start:end]) for start, end in parts]
    stops = [start + side.stopped for (start, _), side in zip(parts, sides, strict=True) if side.stopped is not None]
    if not any(side.named for side in sides) or (stops and not spoken):
        return []
    if stops or len(sides) == 1:
        stop = stops[0] if stops else begin
        message = f"`{excerpt(words[stop:])}` is not understood in this line of the dependency section"
        hint = "write `Step 4 \u2192 Step 2 (reason)`, `Step 4 \u2192 Steps 1-3 (reason)`, or leave out the arrow"
        reading.report("SF205", reading.span(offset + stop, offset + len(words)), message, hint)
        return []
    span = reading.span(offset + begin, offset + len(words))
    return [Arrows(tuple(side.named for side in sides), span)]


def _split(line: str, first: int) -> Iterator[tuple[int, int]]:
    """Split at the arrows outside of parentheses; a reason may contain arrows."""
    depth = 0
    for token in _TOKENS.finditer(line, first):
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth = max(0, depth - 1)
        elif not depth:
            yield first, token.start()
            first = token.end()
    yield first, len(line)


def _side(part: str) -> References:
    """Read one side of an arrow; a word for nothing names no step."""
    if part.strip(" \t()[]*_`.\u2013\u2014-\u2205").lower() in _NOTHING:
        return References(())
    return read_references(part, bare=True, labels=True)


def _read_sentence(
    reading: Reading, offset: int, line: str, alone: list[Sentence], loose: list[Sentence], *, under: bool
) -> bool:
    """Read a line without an arrow; return whether what is listed below it is called independent."""
    begin = _BULLET.match(line).end()  # type: ignore[union-attr]  # it matches anything
    words = line[begin:].strip()
    span = reading.span(offset + begin, offset + len(line.rstrip()))
    named = read_references(words).named
    others = set(mentioned(words)) - {end for each in named for end in (each.first, each.last)}
    if not (named or others):
        calls = bool(_ALONE.search(words)) and not _NOT.search(words)
        if words.rstrip("*_").endswith(":") or words.startswith("**"):
            return calls
        if not (alone and not alone[0].named) and _ALL.search(words) and not _EXCEPT.search(words):
            alone.insert(0, Sentence((), span))  # once is enough
        return under and begin > 0
    if named and not _NOT.search(words):
        if not others and (under or _ALONE.search(words)):
            alone.append(Sentence(named, span))
        elif others and _RELIES.search(line):
            loose.append(Sentence(named, span, tuple(sorted(others))))
    return under
