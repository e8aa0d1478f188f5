"""Cuts a document at its headings, finds the sections that define steps (outside of fences, or inside one), and reads
the fields in them: the keys that the format knows, and the values of its `- Key: value` items.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stepflow.errors import Diagnostic, Severity, Span
from stepflow.markdown import Block, Source
from stepflow.workflow.model import Field
from stepflow.workflow.values import clean

FORMAT_KEYS: Mapping[str, str] = {
    "playbook": "Playbook",
    "relypreviousstep": "RelyPreviousStep",
    "prompt": "Prompt",
    "handoff": "Handoff",
    "repo": "Repo",
    "id": "Id",
}
"""Normalised key -> the key as documents write it."""

_ALIASES: Mapping[str, str] = {"playbookid": "playbook", "relyonpreviousstep": "relypreviousstep"}
_IGNORED = str.maketrans("", "", " \t\u00a0_-")
_MARKER = r"[ \t\u00a0]*(?:[-*+]|[0-9]{1,9}[.)])[ \t\u00a0]+"
_FIELD = re.compile(
    _MARKER + r"(?P<mark>[*_`]{0,3})(?P<key>[^\W\d_][\w \t\u00a0-]{0,40}?)"
    r"(?:(?P=mark)[ \t\u00a0]*[:\uff1a]|[ \t\u00a0]*[:\uff1a](?P=mark))(?!//)"
)
_FIRST_WORD = re.compile(_MARKER + r"(?P<word>[A-Za-z_-]+)(?=[ \t=])")
_WORDS_IN_KEY = 3
_STEP = re.compile(
    r"^[^\w<]*step[ \t]*(?:no\.?[ \t]*)?\#?[ \t]*(?P<number>[0-9]{1,9})(?![\w]|\.[0-9])"
    r"[*_`]*[ \t]*[:.)\-\u2013\u2014]*[ \t]*(?P<title>.*)$",
    re.IGNORECASE,
)
_ARROW = re.compile(r"\u2192|->|=>")
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
    sections = [Section(None)]
    open_section = sections[0]
    others: list[Block] = []  # headings that are not steps, each of a deeper level than the one before
    for block in reading.source.blocks():
        if block.kind == "heading":
            open_section = _section(block)
            if open_section.number is None:
                others = [other for other in others if other.level < block.level] + [block]
            else:
                open_section.home = next((other for other in reversed(others) if other.level <= block.level), None)
            sections.append(open_section)
            continue
        inside = _definitions(reading, block)
        if inside:
            for section in inside:
                section.home = others[-1] if others else None
            sections += inside
        else:
            open_section.blocks.append(block)
    return sections


def plain(text: str) -> str:
    """Return a heading's or item's words without emphasis, code marks and links."""
    words = re.sub(r"\*\*|__|`", "", _LINK.sub(r"\1", text))
    return " ".join(words.split()).strip("* ")


def _section(heading: Block, fence: int | None = None) -> Section:
    words = plain(heading.text)
    match = None if _ARROW.search(words) else _STEP.match(words)
    if not match:
        return Section(heading, title=words, fence=fence)
    return Section(heading, int(match["number"]), match["title"].strip(), fence)


def _definitions(reading: Reading, block: Block) -> list[Section]:
    """Return the sections inside a fence whose first heading is a step's; none for any other block."""
    if block.kind != "fence" or block.info is None or (block.info.lower().split() or [""])[0] not in _DEFINING:
        return []
    inner = reading.source.text[block.inner[0] : block.inner[1]]
    if "step" not in inner.lower():
        return []
    sections: list[Section] = []
    for part in reading.source.blocks(*block.inner):
        if part.kind == "heading":
            sections.append(_section(part, block.start))
            if sections[0].number is None:
                return []
        elif sections:
            sections[-1].blocks.append(part)
    if sections and not block.closed:
        span = reading.span(block.start, block.end)
        message = "the fence that opens here is never closed, so it contains the rest of the document"
        reading.report("SF109", span, message, "close it with a line of the same marks", "warning")
    return sections


def normalise_key(key: str) -> str:
    """Return the form in which keys are compared: without case, spaces, `_` and `-`; `Playbook ID` is `playbook`."""
    plain = key.translate(_IGNORED).lower()
    return _ALIASES.get(plain, plain)


def spoken_key(name: str) -> str:
    """Return a setting's name the way a document writes it: `max_items` is `MaxItems`."""
    return name.replace("_", " ").title().replace(" ", "")


@dataclass(slots=True)
class _Open:
    """A field whose end is not found yet: offsets of its key and of its value so far."""

    key: str
    start: int
    value: int
    end: int


def read_fields(reading: Reading, number: int, bodies: list[list[Block]]) -> dict[str, Field]:
    """Read the fields of a step, by normalised key.

    A value is the rest of its list item, and everything else before the next field. After the last field, a block
    belongs to it only without a blank line between them, or if the field is empty.
    """
    fields: dict[str, Field] = {}
    for body in bodies:
        for found in _find(reading, body):
            normal = normalise_key(found.key)
            raw = reading.source.text[found.value : found.end]
            value = clean(raw, nested=normal == "prompt")
            first = len(raw) - len(raw.lstrip()) if value else 0
            words = raw[first:].partition("\n")[0].rstrip()
            key_span = reading.span(found.start, found.start + len(found.key))
            value_span = reading.span(found.value + first, found.value + first + len(words))
            if normal in fields:
                line = fields[normal].span.line
                message = f"step {number} has `{found.key}` twice: the other is in line {line}"
                reading.report("SF106", key_span, message, "keep one of them")
            else:
                fields[normal] = Field(found.key, value, key_span, value_span)
    return fields


def _find(reading: Reading, body: list[Block]) -> Iterator[_Open]:
    text = reading.source.text
    open_field: _Open | None = None
    empty = False  # whether the open field has no text yet
    for block in body:
        if block.kind == "list":
            for start, end in zip(block.items, (*block.items[1:], block.end), strict=True):
                match = _FIELD.match(text, start, end)
                if match and len(match["key"].split()) <= _WORDS_IN_KEY:
                    if open_field:
                        open_field.end = start
                        yield open_field
                    open_field = _Open(match["key"], match.start("key"), match.end(), end)
                    empty = not text[match.end() : end].strip()
                    continue
                _warn_of_colon(reading, start, end)
                if open_field and open_field.end == start:
                    open_field.end, empty = end, False
        elif open_field and (open_field.end == block.start or empty):
            open_field.end, empty = block.end, False
    if open_field:
        yield open_field


def _warn_of_colon(reading: Reading, start: int, end: int) -> None:
    match = _FIRST_WORD.match(reading.source.text, start, end)
    key = normalise_key(match["word"]) if match else ""
    if match and key in FORMAT_KEYS:
        span = reading.span(match.start("word"), match.end("word"))
        message = f"`{match['word']}` has no colon after it, so this is read as text, not as a field"
        reading.report("SF107", span, message, f"write `- {FORMAT_KEYS[key]}: ...`", "warning")
