"""The fields of a step: the keys that the format knows, and the values of its `- Key: value` items."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stepflow.markdown import Block
from stepflow.workflow.model import Field
from stepflow.workflow.sections import Reading

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
_FENCE = re.compile(r"\A(?P<mark>`{3,}|~{3,})[^\n`]*\n(?P<inner>.*?)\n?^(?P=mark)[ \t]*\Z", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"\A`(?P<inner>[^`\n]+)`\Z")
_WORDS_IN_KEY = 3


def normalise_key(key: str) -> str:
    """Return the form in which keys are compared: without case, spaces, `_` and `-`; `Playbook ID` is `playbook`."""
    plain = key.translate(_IGNORED).lower()
    return _ALIASES.get(plain, plain)


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
            text = reading.source.text
            value = clean(text[found.value : found.end])
            first = found.value + len(text[found.value : found.end]) - len(text[found.value : found.end].lstrip())
            if not value:
                first = found.value
            key_span = reading.span(found.start, found.start + len(found.key))
            end = text.find("\n", first)
            value_span = reading.span(first, first + len(text[first : end if end >= 0 else None].rstrip()))
            normal = normalise_key(found.key)
            if normal in fields:
                line = fields[normal].span.line
                message = f"step {number} has `{found.key}` twice: the other is in line {line}"
                reading.report("SF106", key_span, message, "keep one of them")
            else:
                fields[normal] = Field(found.key, value, key_span, value_span)
    return fields


def clean(raw: str) -> str:
    """Return the text of a value: dedented; without a fence or code marks if these hold all of it."""
    first, *rest = raw.split("\n")
    rest = [_expand_indent(line) for line in rest]
    margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    value = "\n".join([first.strip(), *(line[margin:].rstrip() for line in rest)]).strip("\n ")
    fence = _FENCE.match(value)
    if fence and not re.search(rf"^{fence['mark']}[ \t]*$", fence["inner"], re.MULTILINE):
        return fence["inner"].strip("\n")
    code = _CODE.match(value)
    return code["inner"].strip() if code else value


def _expand_indent(line: str) -> str:
    words = line.lstrip(" \t")
    indent = line[: len(line) - len(words)]
    return indent.expandtabs(4) + words


def _find(reading: Reading, body: list[Block]) -> Iterator[_Open]:
    text = reading.source.text
    field: _Open | None = None
    for block in body:
        if block.kind == "list":
            for start, end in zip(block.items, (*block.items[1:], block.end), strict=True):
                match = _FIELD.match(text, start, end)
                if match and len(match["key"].split()) <= _WORDS_IN_KEY:
                    if field:
                        field.end = start
                        yield field
                    field = _Open(match["key"], match.start("key"), match.end(), end)
                    continue
                _warn_of_colon(reading, start, end)
                if field and field.end == start:
                    field.end = end
        elif field and (field.end == block.start or not text[field.value : field.end].strip()):
            field.end = block.end
    if field:
        yield field


def _warn_of_colon(reading: Reading, start: int, end: int) -> None:
    match = _FIRST_WORD.match(reading.source.text, start, end)
    key = normalise_key(match["word"]) if match else ""
    if match and key in FORMAT_KEYS:
        span = reading.span(match.start("word"), match.end("word"))
        message = f"`{match['word']}` has no colon after it, so this is read as text, not as a field"
        reading.report("SF107", span, message, f"write `- {FORMAT_KEYS[key]}: ...`", "warning")
