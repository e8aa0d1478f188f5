"""Cuts a document at its headings, and finds the sections that define steps, outside of fences or inside one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from stepflow.errors import Diagnostic, Severity, Span
from stepflow.markdown import Block, Source
from stepflow.workflow.excerpt import excerpt

_STEP = re.compile(
    r"^[^\w<]*step[ \t]*(?:no\.?[ \t]*)?\#?[ \t]*(?P<number>[0-9]{1,9})(?![\w]|\.[0-9])"
    r"[*_`]*[ \t]*[:.)\-\u2013\u2014]*[ \t]*(?P<title>.*)$",
    re.IGNORECASE,
)
_ARROW = re.compile(r"[ \t*_`]*(?:\u2192|[-=]+>)")
_LINK = re.compile(r"!?\[([^\]]{0,200})\]\([^)]{0,500}\)")  # bounded: a line of brackets must not take quadratic time
_DEFINING = frozenset({"", "markdown", "md"})


@dataclass(frozen=True, slots=True)
class Reading:
    """The source, its file name, and the problems found."""

    source: Source
    file: str
    problems: list[Diagnostic] = field(default_factory=list)

    def span(self, start: int, end: int) -> Span:
        """Return the place between two offsets, cut at the end of its first line; at least one character long."""
        line, column = self.source.place(start)
        rest = self.source.length(line) - column + 1
        return Span(self.file, line, column, max(1, min(end - start, rest)))

    def report(self, code: str, span: Span, message: str, hint: str = "", severity: Severity = "error") -> None:
        """Record a problem, with the text of its line."""
        self.problems.append(Diagnostic(code, severity, span, message, hint, self.source.line(span.line)))


@dataclass(slots=True)
class Section:
    """A heading (none before the first) and the blocks up to the next one."""

    heading: Block | None
    number: int | None = None  # of a step
    title: str = ""  # the heading's words; of a step only what follows its number
    fence: int | None = None  # offset of the fence around it
    home: Block | None = None  # of a step: the heading above it
    blocks: list[Block] = field(default_factory=list)

    @property
    def level(self) -> int:
        """Return the heading's level, 0 where there is none."""
        return self.heading.level if self.heading else 0


def cut(reading: Reading) -> list[Section]:
    """Return all sections in the order of the document; those inside a defining fence follow the section around it."""
    blocks = [(block, _definitions(reading, block)) for block in reading.source.blocks()]
    defined = any(
        inside[0].number is not None if inside else block.kind == "heading" and _section(block).number is not None
        for block, inside in blocks
    )
    sections = [Section(None)]
    open_section = sections[0]
    others: list[Block] = []  # headings that are not steps, each of a deeper level than the one before
    for block, inside in blocks:
        if block.kind == "heading":
            open_section = _section(block)
            if open_section.number is None:
                others = [other for other in others if other.level < block.level] + [block]
            else:
                open_section.home = _home(block, others)
            sections.append(open_section)
        elif read := _read_fence(reading, inside, open_section, others, defined=defined):
            sections += read
        else:
            _warn_of_comment(reading, block)
            open_section.blocks.append(block)
    return sections


def _warn_of_comment(reading: Reading, block: Block) -> None:
    text = reading.source.text
    begins = block.kind == "other" and text[block.start : block.start + 8].lstrip().startswith("<!--")
    if begins and text.find("-->", block.start, block.end) < 0 and "step" in text[block.start : block.end].lower():
        span = reading.span(block.start, block.end)
        message = "the comment that opens here is never closed, so it contains the rest of the document"
        reading.report("SF109", span, message, "close it with `-->`", "warning")


def _home(heading: Block, others: list[Block]) -> Block | None:
    """Return the heading that a step stands under."""
    return next((other for other in reversed(others) if other.level <= heading.level), None)


def _read_fence(
    reading: Reading, inside: list[Section], around: Section, others: list[Block], *, defined: bool
) -> list[Section]:
    """Return the sections of a fence that define steps; none where it begins with a title and that is not plain.

    It is plain when nothing else in the document defines a step, or when its only step is that of the heading above it.
    """
    numbers = [section.number for section in inside if section.number is not None]
    if not inside or inside[0].number is not None:
        for section in inside:
            section.home = others[-1] if others else None
        return inside
    if not defined:
        above = list(others)
        for section in inside:
            if section.number is None and section.heading:
                above.append(section.heading)
                section.fence = None  # what it says is said of the workflow
            elif section.heading:
                section.home = _home(section.heading, above)
        return inside
    first = next(at for at, section in enumerate(inside) if section.number is not None)
    if numbers == [around.number]:
        return inside[first:]
    title, step = inside[0], inside[first]
    if title.heading and step.heading:
        span = reading.span(step.heading.start, step.heading.end)
        message = f"this fence begins with the heading `{excerpt(title.title)}`, so its steps are not read"
        reading.report("SF117", span, message, "put that heading above the fence, or remove it", "warning")
    return []


def plain(text: str) -> str:
    """Return a heading's or item's words without emphasis, code marks and links."""
    words = re.sub(r"\*\*|__|`", "", _LINK.sub(r"\1", text))
    return " ".join(words.split()).strip("* ")


def _section(heading: Block, fence: int | None = None) -> Section:
    words = plain(heading.text)
    match = _STEP.match(words)
    if not match or _ARROW.match(words, match.end("number")):  # `Step 4 -> Step 2` is about steps
        return Section(heading, title=words, fence=fence)
    return Section(heading, int(match["number"]), match["title"].strip(), fence)


def _definitions(reading: Reading, block: Block) -> list[Section]:
    """Return the sections inside a fence in which a step is defined, from its first heading on; none for any other."""
    if block.kind != "fence" or block.info is None or (block.info.lower().split() or [""])[0] not in _DEFINING:
        return []
    inner = reading.source.text[block.inner[0] : block.inner[1]]
    if "step" not in inner.lower():
        return []
    sections: list[Section] = []
    for part in reading.source.blocks(*block.inner):
        if part.kind == "heading":
            sections.append(_section(part, block.start))
        elif sections:
            sections[-1].blocks.append(part)
    if all(section.number is None for section in sections):
        return []
    if not block.closed:
        span = reading.span(block.start, block.end)
        message = "the fence that opens here is never closed, so it contains the rest of the document"
        reading.report("SF109", span, message, "close it with a line of the same marks", "warning")
    return sections
