"""Cuts a Markdown text into its top-level blocks, each with its place: CommonMark by mistune, in linear time.

mistune's tokens have no places and its states copy text, so the state here keeps offsets instead of text, and the
parser records where each match starts. Nothing is parsed below the top level: the content of a list item or a
quotation is cut out of the source by offset.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from re import Match
from typing import Any, Literal, cast

from mistune.block_parser import BlockParser
from mistune.core import BlockState
from mistune.helpers import BLOCK_TAGS, PRE_TAGS
from mistune.list_parser import LIST_PATTERN

BlockKind = Literal["heading", "fence", "list", "text", "other"]
_KINDS: dict[str, BlockKind] = {"heading": "heading", "list": "list", "paragraph": "text", "block_code": "fence"}
_RULES = (
    "fenced_code",
    "indent_code",
    "atx_heading",
    "setex_heading",
    "thematic_break",
    "block_quote",
    "list",
    "raw_html",
    "blank_line",
)
_LIST = re.compile(LIST_PATTERN, re.MULTILINE)
_SIMPLE = {
    bullet: re.compile(rf"{re.escape(bullet)} [^\W_].*\n(?:(?:  |\t)[ \t]*\S.*\n)*") for bullet in "-*+"
}  # nothing that begins with a letter or a digit can be a rule, a fence or another list
_TAG_END = re.compile(
    r"(?:\s++[A-Za-z_:][\w.:-]*+(?:\s*+=\s*+(?:[^\s\"'=<>`]++|'[^']*+'|\"[^\"]*+\"))?+)*+[ \t]*+>[ \t]*+(?:\n|$)"
)  # possessive: no text is tried twice
_CLOSING_TAG_END = re.compile(r"[ \t]*+>[ \t]*+(?:\n|$)")
_QUOTED = re.compile(r" {0,3}>(?P<text>.*)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_INVISIBLE = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2007": " "})


@dataclass(frozen=True, slots=True)
class Block:
    """A top-level block: `start` and `end` are offsets into the text, `items` where each item of a list starts."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0  # of a heading
    text: str = ""  # of a heading, as written
    info: str | None = None  # of a fence; None: the block is indented code
    inner: tuple[int, int] = (0, 0)  # offsets of the text between the marks of a fence
    closed: bool = True  # of a fence: whether its end is marked
    items: tuple[int, ...] = ()


class Source:
    """A text with its lines: every line end is one newline, the byte order mark is gone.

    Control characters and marks that change the direction of writing become U+FFFD, as CommonMark requires of U+0000:
    documents are shown in terminals, which must not obey or hide any of their text.
    """

    def __init__(self, text: str) -> None:
        """Normalise the line ends and find where the lines start."""
        lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        self.text = _CONTROL.sub("\ufffd", lines)
        self._starts = [0, *(match.end() for match in re.finditer("\n", self.text))]
        self._lines: dict[int, str] = {}

    def place(self, offset: int) -> tuple[int, int]:
        """Return the line and the column, both from 1, of an offset."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Return the text of a line, counted from 1; empty after the end. Callers for the same line share the text."""
        if number not in self._lines:
            known = number <= len(self._starts)
            start = self._starts[number - 1] if known else 0
            self._lines[number] = self.text[start : start + self.length(number)] if known else ""
        return self._lines[number]

    def length(self, number: int) -> int:
        """Count the characters of an existing line."""
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.text)
        return end - self._starts[number - 1]

    def blocks(self, start: int = 0, end: int | None = None) -> tuple[Block, ...]:
        """Cut the text between two offsets into blocks; blank lines are left out. Never raises."""
        # Other kinds of spaces count as spaces: documents are pasted from web pages.
        text = self.text[start:end].translate(_INVISIBLE)
        state = _OffsetState()
        state.process(text if text.endswith("\n") else text + "\n")
        _PARSER.parse(state)
        limit = len(text)
        return tuple(_blocks(state, start, limit))


class _OffsetState(BlockState):
    """Tokens with offsets instead of text.

    `begin` is where the match that is being parsed starts; `item_ends` collects, while a list is being parsed, where
    each of its items ends.
    """

    def __init__(self, parent: BlockState | None = None) -> None:
        super().__init__(parent)
        self.begin: int | None = None
        self.item_ends: list[int] | None = None

    def append_token(self, token: dict[str, Any]) -> None:
        self.tokens.append(token | {"start": self.cursor if self.begin is None else self.begin})

    def add_paragraph(self, text: str) -> None:
        last = self.last_token()
        if not (last and last["type"] == "paragraph"):
            last = {"type": "paragraph", "start": self.cursor}
            self.tokens.append(last)
        last["end"] = self.cursor + len(text)

    def append_paragraph(self) -> int | None:
        last = self.last_token()
        if not (last and last["type"] == "paragraph"):
            return None
        end = self.find_line_end()
        last["end"] = end
        return end


class _Parser(BlockParser):
    """Notes where each block starts and ends, and does not descend into items and quotations.

    Where mistune would take more than linear time, or recurse, the methods here do the same without.
    """

    state_cls = _OffsetState

    def __init__(self) -> None:
        super().__init__(max_nested_level=2)
        self.rules = list(_RULES)

    def parse(self, state: BlockState, rules: list[str] | None = None) -> None:
        if state.parent is None:
            super().parse(state, rules)
        elif state.parent.item_ends is not None:
            state.parent.item_ends.append(state.parent.cursor)

    def parse_method(self, m: Match[str], state: BlockState) -> int | None:
        here = cast("_OffsetState", state)
        outer = here.begin
        if outer is not None and outer < m.start() and m.lastgroup == "block_quote":
            return m.start()  # it ends the list around it, and is parsed after that: nothing nests
        here.begin = m.start()
        items, here.item_ends = here.item_ends, None
        end = super().parse_method(m, state)
        if end and here.tokens:
            here.tokens[-1]["end"] = end
        here.begin, here.item_ends = outer, items
        return end

    def parse_atx_heading(self, m: Match[str], state: BlockState) -> int:
        words = m["atx_2"].strip()
        bare = words.rstrip("#")
        if not bare or bare[-1].isspace():
            words = bare.rstrip()
        state.append_token({"type": "heading", "text": words, "attrs": {"level": len(m["atx_1"])}})
        return m.end() + 1

    def parse_block_quote(self, m: Match[str], state: BlockState) -> int:
        here = cast("_OffsetState", state)
        first = m["quote_1"].removeprefix(" ") + "\n"
        marked = bool(self.compile_sc(["blank_line", "indent_code", "fenced_code"]).match(first))  # in each line
        ends = self.compile_sc(["blank_line", "thematic_break", "fenced_code", "atx_heading", "list", "block_html"])
        blank = False
        at = here.find_line_end_at(m.start())
        while at < here.cursor_max:
            if quoted := _QUOTED.match(here.src, at):
                blank = not quoted["text"].strip()
            elif marked or blank or ends.match(here.src, at):
                break
            at = here.find_line_end_at(at)
        here.append_token({"type": "block_quote"})
        return at

    def parse_raw_html(self, m: Match[str], state: BlockState) -> int | None:
        mark = m[0].strip()
        closing = mark.startswith("</")
        name = mark.lstrip("</").lower()
        if not (closing or mark[1:2].isalpha()) or name in BLOCK_TAGS or (name in PRE_TAGS and not closing):
            return super().parse_raw_html(m, state)
        if end := state.append_paragraph():  # any other tag is a block only alone in its line, and ends no paragraph
            return end
        if not (_CLOSING_TAG_END if closing else _TAG_END).match(state.src, m.end(), state.find_line_end()):
            return None
        state.append_token({"type": "block_html"})
        blank = self.BLANK_LINE.search(state.src, state.cursor)
        return blank.start() if blank else state.cursor_max

    def parse_list(self, m: Match[str], state: BlockState) -> int:
        here = cast("_OffsetState", state)
        starts, end = _simple_items(here.src, m.start())
        if starts and end == len(here.src):
            here.append_token({"type": "list", "list_end": end, "items": starts})
            return end
        here.item_ends = []
        before = len(here.tokens)
        last = _LIST.match(here.src, starts[-1]) if starts else m
        end = super().parse_list(last or m, state)
        if here.item_ends:
            # What ended the list may already follow it, so the list is the first of the new tokens.
            token = here.tokens[before]
            behind = here.tokens[before + 1]["start"] if len(here.tokens) > before + 1 else here.item_ends[-1]
            token["start"], token["list_end"] = m.start(), behind
            # Behind an item the parser has taken the first line of the next one.
            following = [here.src.rfind("\n", 0, at - 1) + 1 for at in here.item_ends[:-1]]
            token["items"] = [*(starts or [m.start()]), *following]
        return end


def _simple_items(text: str, at: int) -> tuple[list[int], int]:
    """Return where items start that need no parser, and where they end: a bullet, text, lines indented below it.

    mistune takes 20 microseconds per item, most of the time of a document; an item that ends at the next bullet or at
    the end of the text ends there by any rule. Whatever follows the last item is left to the parser.
    """
    pattern = _SIMPLE.get(text[at])
    starts = []
    while pattern and (match := pattern.match(text, at)):
        starts.append(at)
        at = match.end()
    return starts, at


_PARSER = _Parser()


def _blocks(state: _OffsetState, base: int, limit: int) -> Iterator[Block]:
    text = state.src
    starts = [token["start"] for token in state.tokens[1:]]
    for token, following in zip(state.tokens, [*starts, limit], strict=True):
        if token["type"] == "blank_line":
            continue
        kind = _KINDS.get(token["type"], "other")
        start = min(token["start"], limit)
        end = min(token.get("list_end") or token.get("end") or following, limit)
        if kind == "heading":
            yield _heading(token, text, start, end, base)
        elif kind == "fence":
            yield _fence(token, text, start, end, base)
        elif kind == "list":
            end = min(start + len(text[start:end].rstrip()) + 1, limit)  # the parser includes blank lines after it
            yield Block("list", base + start, base + end, items=tuple(base + at for at in token["items"]))
        else:
            yield Block(kind, base + start, base + end)


def _heading(token: dict[str, Any], text: str, start: int, end: int, base: int) -> Block:
    words = token.get("text")
    if words is None:  # setext: all lines but the underline
        words = " ".join(text[start:end].rstrip("\n").split("\n")[:-1])
    return Block("heading", base + start, base + end, level=token["attrs"]["level"], text=" ".join(words.split()))


def _fence(token: dict[str, Any], text: str, start: int, end: int, base: int) -> Block:
    if token["style"] != "fenced":
        return Block("fence", base + start, base + end, inner=(base + start, base + end), info=None)
    first = min(text.find("\n", start) + 1 or end, end)
    last_line = text.rfind("\n", first, max(first, end - 1)) + 1 or first
    mark = token["marker"]
    closing = text[last_line:end].strip()
    closed = len(closing) >= len(mark) and not closing.strip(mark[0])
    inner = (base + first, base + (max(first, last_line) if closed else end))
    info = token.get("attrs", {}).get("info", "")
    return Block("fence", base + start, base + end, info=info, inner=inner, closed=closed)
