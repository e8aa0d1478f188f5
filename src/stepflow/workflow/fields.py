"""Reads the fields of a step: the keys that the format knows, and the values of its `- Key: value` items.

Fields may also be paragraphs, `**Key:** value`. One that stands anywhere else under a step is reported, not dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stepflow.markdown import Block
from stepflow.workflow.model import Field
from stepflow.workflow.sections import Reading
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

SYNONYMS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("after", "blockedby", "dependencies", "dependency", "depends", "dependson", "needs", "prerequisite"),
            *("prerequisites", "previousstep", "reliesonstep", "relieson", "rely", "relyon", "requires", "waitfor"),
        ),
        "RelyPreviousStep",
    ),
    **dict.fromkeys(("command", "commands", "description", "instructions", "run", "script", "task"), "Prompt"),
    **dict.fromkeys(("deliverable", "deliverables", "deliver", "delivers", "output", "outputs", "result"), "Handoff"),
    **dict.fromkeys(("plugin", "uses"), "Playbook"),
    "repository": "Repo",
}
"""Normalised key that other formats have -> ours, as documents write it."""

_ALIASES: Mapping[str, str] = {"playbookid": "playbook", "relyonpreviousstep": "relypreviousstep"}
_IGNORED = str.maketrans("", "", " \t\u00a0_-")
_MARKER = r"[ \t\u00a0]*(?:[-*+]|[0-9]{1,9}[.)])[ \t\u00a0]+"
_KEY = r"(?P<key>[^\W\d_][\w \t\u00a0-]{0,40}?)"
_END = r"(?:(?P=mark)[ \t\u00a0]*[:\uff1a]|[ \t\u00a0]*[:\uff1a](?P=mark))"
_FIELD = re.compile(rf"{_MARKER}(?P<mark>[*_`]{{0,3}}){_KEY}{_END}(?!//)")
_BOLD = re.compile(rf"^[ \t\u00a0]{{0,3}}(?P<mark>\*\*|__){_KEY}{_END}", re.MULTILINE)
_HIDDEN = re.compile(
    r"^[ \t>|]*+(?:(?:[-*+]|[0-9]{1,9}[.)])[ \t]++)?+[*_`]{0,3}+(?P<key>[A-Za-z](?:[A-Za-z]|[ _-](?=[A-Za-z])){0,24})"
    r"[*_`]{0,3}[ \t]*+[:|\uff1a]",
    re.MULTILINE,
)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]", re.MULTILINE)
_FIRST_WORD = re.compile(_MARKER + r"(?P<word>[A-Za-z_-]+)(?=[ \t=])")
_WORDS_IN_KEY = 3


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
    empty: bool  # the value has no text yet
    paragraph: bool  # it stands in a paragraph, of which each line but the last may end with a hard break


def read_fields(reading: Reading, number: int, bodies: Sequence[Sequence[Block]]) -> dict[str, Field]:
    """Read the fields of a step, by normalised key.

    A value is the rest of its list item or line, and everything else before the next field. After the last field, a
    block belongs to it only without a blank line between them, or if the field is empty.
    """
    fields: dict[str, Field] = {}
    for body in bodies:
        for found in _find(reading, number, body):
            normal = normalise_key(found.key)
            raw = reading.source.text[found.value : found.end]
            if found.paragraph and raw.endswith("\\\n"):
                raw = raw[:-2]
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


def has_format_key(reading: Reading, blocks: Sequence[Block]) -> bool:
    """Return whether one of the blocks has a field that the format knows."""
    return any(match and _known(match) for block in blocks for _, _, match in _entries(reading.source.text, block))


def _known(match: re.Match[str]) -> bool:
    return normalise_key(match["key"]) in FORMAT_KEYS


def _entries(text: str, block: Block, *, bold: bool = True) -> Iterator[tuple[int, int, re.Match[str] | None]]:
    """Cut a block where fields may start, with the match of each key: at the items of a list, at bold words of a text.

    `bold`: any bold words that may be a key start a field, else only those that the format knows.
    """
    if block.kind == "list":
        for start, end in zip(block.items, (*block.items[1:], block.end), strict=True):
            match = _FIELD.match(text, start, end)
            yield start, end, match if match and _is_short(match) else None
        return
    found = _BOLD.finditer(text, block.start, block.end) if block.kind == "text" else ()
    keys = [match for match in found if _is_short(match) and (bold or _known(match))]
    starts = [*(match.start() for match in keys), block.end]
    if not keys or starts[0] > block.start:
        yield block.start, starts[0], None
    yield from zip(starts, starts[1:], keys, strict=False)


def _is_short(match: re.Match[str]) -> bool:
    return len(match["key"].split()) <= _WORDS_IN_KEY


def _find(reading: Reading, number: int, body: Sequence[Block]) -> Iterator[_Open]:
    """Find the fields of a body, in their order, each with its whole value."""
    text = reading.source.text
    lists = [block for block in body if block.kind == "list"]
    bold = not any(match for block in lists for *_, match in _entries(text, block))
    bold = bold and has_format_key(reading, body)
    open_field: _Open | None = None
    for block in body:
        for start, end, match in _entries(text, block, bold=bold):
            if match:
                if open_field:
                    open_field.end = start
                    yield open_field
                empty = not text[match.end() : end].strip()
                open_field = _Open(match["key"], match.start("key"), match.end(), end, empty, block.kind == "text")
                continue
            if block.kind == "list":
                _warn_of_colon(reading, start, end)
            continues = False
            if open_field and (open_field.end == start or (open_field.empty and block.kind != "list")):
                open_field.end, open_field.empty = end, False
                continues = True
            if block.kind != "list" and not (continues and not _is_quotation(text, block)):
                _warn_of_hidden(reading, number, block, start, end)
    if open_field:
        yield open_field


def _warn_of_colon(reading: Reading, start: int, end: int) -> None:
    match = _FIRST_WORD.match(reading.source.text, start, end)
    key = normalise_key(match["word"]) if match else ""
    if match and key in FORMAT_KEYS:
        span = reading.span(match.start("word"), match.end("word"))
        message = f"`{match['word']}` has no colon after it, so this is read as text, not as a field"
        reading.report("SF107", span, message, f"write `- {FORMAT_KEYS[key]}: ...`", "warning")


def _is_quotation(text: str, block: Block) -> bool:
    return block.kind == "other" and text[block.start : block.start + 4].lstrip().startswith(">")


def _warn_of_hidden(reading: Reading, number: int, block: Block, start: int, end: int) -> None:
    """Warn where a block that is not a value has a key of the format."""
    text = reading.source.text
    if text[block.start : block.start + 8].lstrip().startswith("<!--"):
        return
    wanted = FORMAT_KEYS.keys() if block.kind != "fence" else {"playbook", "prompt"}
    if block.kind == "fence" and _HEADING.search(text, start, end):
        return  # a document in the document
    match = next((each for each in _HIDDEN.finditer(text, start, end) if normalise_key(each["key"]) in wanted), None)
    if match:
        table = match[0].endswith("|")
        where = {"other": "HTML", "fence": "a fence"}.get(block.kind, "a table" if table else "a paragraph")
        if _is_quotation(text, block):
            where = "a quotation"
        span = reading.span(match.start("key"), match.end("key"))
        message = f"`{match['key']}` stands in {where} here, so it is not read as a field of step {number}"
        hint = f"write it as a list item under the step's heading: `- {FORMAT_KEYS[normalise_key(match['key'])]}: ...`"
        reading.report("SF115", span, message, hint, "warning")
