"""Reads which steps a text names, and why: `Step 2`, `Steps 2, 5 and 7-9 (why)`, `Step 2 - why, Step 5 - why`.

A text is read to its end, or it says where the reading stopped: no step that it names is left out unsaid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

_TOKEN = re.compile(
    r"(?P<step>(?<![^\W_])steps?(?![^\W\d]))"
    r"|(?P<number>(?:(?<![\w.])|(?<=step)|(?<=steps)|(?<=_))[0-9]{1,9}(?![^\W_]|\.[0-9]))"
    r"|(?P<dash>[-\u2010-\u2015\u2212]+)"
    r"|(?P<comma>[,;&+\uff0c\u3001]+|\band\b)"
    r"|(?P<line>\n)"
    r"|(?P<open>[(\uff08])|(?P<close>[)\uff09])|(?P<colon>[:\uff1a])"
    r"|(?P<mark>[*`\"'\[\].!#_\u2019\ufffd]+)"
    r"|(?P<word>[^\W_]\w*)|(?P<other>[^\w\s]+?)",
    re.IGNORECASE,
)
_LINK = re.compile(r"\]\([^()\n]{0,500}\)")
_BETWEEN = frozenset({"to", "through", "until"})
_MORE = frozenset({"also", "plus", "or", *_BETWEEN})
_OPEN_ENDED = frozenset({"and", "&", "+"})
_JOINS = frozenset({"comma", "line", "mark", "dash"})
_NAMES = frozenset({"step", "number", *_JOINS})


@dataclass(frozen=True, slots=True)
class Named:
    """A step that a text names, or a range of steps, both ends included; and why."""

    first: int
    last: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class References:
    """The steps that a text names, in its order, and the offset of what cannot be read (None: all is read)."""

    named: tuple[Named, ...]
    stopped: int | None = None


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def read_references(text: str, *, bare: bool = False, labels: bool = False) -> References:
    """Read the steps that a text names.

    `bare`: numbers may stand without the word `step`. `labels`: a step may stand in parentheses behind its name, as in
    `Payment (Step 4)`.
    """
    return _Tokens(text).read(bare=bare, labels=labels)


def mentioned(text: str) -> Iterator[int]:
    """Find the numbers that follow the word `step` in prose; of a range both ends."""
    reader = _Tokens(text)
    for at, token in enumerate(reader.tokens):
        if token.kind == "step" and reader.names_step(at):
            reader.at = at
            for named in reader.numbers():
                yield from {named.first, named.last}


class _Tokens:
    """The tokens of a text, and which of them comes next. Reading moves forward: linear time."""

    def __init__(self, text: str) -> None:
        # The address of a link is blanked out: every offset stays.
        self.text = _LINK.sub(lambda link: "]" + " " * (len(link[0]) - 1), text)
        found = _TOKEN.finditer(self.text)
        self.tokens = [_Token(str(match.lastgroup), match[0].lower(), *match.span()) for match in found]
        self.tokens.append(_Token("end", "", len(text), len(text)))
        self.at = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def skip(self, *kinds: str) -> bool:
        """Move behind tokens of these kinds; return whether there was one."""
        before = self.at
        while self.next.kind in kinds:
            self.at += 1
        return self.at > before

    def names_step(self, at: int) -> bool:
        """Return whether the token there is the word `step` with a number behind it."""
        if self.tokens[at].kind != "step":
            return False
        at += 1
        while self.tokens[at].kind == "mark":
            at += 1
        return self.tokens[at].kind == "number"

    def read(self, *, bare: bool, labels: bool) -> References:
        """Read everything, or up to what cannot be read."""
        named: list[Named] = []
        self.skip("other", *_JOINS)
        while self.next.kind != "end":
            start = self.next.start
            if self.names_step(self.at) or (bare and self.next.kind == "number"):
                group = self.numbers()
            elif not (labels and (group := self._labelled())):
                return References(tuple(named), start)
            why = self._reason()
            if why is None:
                return References((*named, *group), self.next.start)
            named += [replace(each, why=why) for each in group]
            joined = self.skip(*_JOINS)
            last = self.tokens[self.at - 1]
            if self.next.kind == "end" and last.text in _OPEN_ENDED:
                return References(tuple(named), last.start)
            if not (joined or self.next.kind in {"end", "step"}):
                return References(tuple(named), self.next.start)
        return References(tuple(named))

    def numbers(self) -> list[Named]:
        """Read `step 2`, `steps 2, 5 and 7-9`, `step 2 - step 5`, of which the first number is known to be there."""
        found: list[Named] = []
        while True:
            first = self._number()
            found.append(Named(first, self._range_end(first)))
            before = self.at
            self.skip("mark")
            joined = self.skip("comma")
            self.skip("mark", "comma")
            if not (joined and self.next.kind == "number"):
                self.at = before
                return found

    def _number(self) -> int:
        self.skip("step", "mark")
        number = int(self.next.text)
        self.at += 1
        return number

    def _range_end(self, first: int) -> int:
        before = self.at
        self.skip("mark")
        if self.next.kind == "dash" or self.next.text in _BETWEEN:
            self.at += 1
            self.skip("mark")
            if self.names_step(self.at) or self.next.kind == "number":
                return self._number()
        self.at = before
        return first

    def _labelled(self) -> list[Named]:
        """Read a name with its steps in parentheses behind it; nothing, and nothing is moved, where there is none."""
        before = self.at
        if self.skip("word"):
            self.skip("word", "number", "mark", "other", "dash")
            if self.skip("open") and self.names_step(self.at):
                named = self.numbers()
                if self.skip("close"):
                    return named
        self.at = before
        return []

    def _reason(self) -> str | None:
        """Read why: in parentheses, or behind a dash or colon; None where that cannot be read."""
        why = ""
        self.skip("mark")
        while self.next.kind == "open":
            opened = self.at
            self._close()
            if self.next.kind != "close" or _only_names(self.tokens[opened + 1 : self.at]):
                self.at = opened
                return None
            why = self._words(opened + 1)
            self.at += 1
            self.skip("mark")
        if self.next.kind == "colon" or (self.next.kind == "dash" and self._apart()):
            self.at += 1
            began = self.at
            self._prose()
            if _only_names(self.tokens[began : self.at]):
                self.at = began
                return None
            why = self._words(began) or why
        return why

    def _apart(self) -> bool:
        """Return whether the next dash has blanks on both sides, or is one of those that need none."""
        token = self.next
        around = self.text[token.start - 1 : token.start] + self.text[token.end : token.end + 1]
        return set(token.text) != {"-"} or not around.strip()

    def _close(self) -> None:
        """Move to the parenthesis that closes the next one, or to the end."""
        depth = 0
        while self.next.kind != "end":
            depth += (self.next.kind == "open") - (self.next.kind == "close")
            if not depth:
                return
            self.at += 1

    def _prose(self) -> None:
        """Move to the end of a reason: the end, or what joins the next step to it, outside of parentheses."""
        depth = 0
        joined: int | None = None  # the first of the tokens before the next one that can join a step
        while self.next.kind != "end":
            if joined is not None and not depth and self.names_step(self.at):
                self.at = joined
                return
            kind = self.next.kind
            depth = max(0, depth + (kind == "open") - (kind == "close"))
            if kind not in _JOINS:
                joined = None
            elif kind in {"comma", "line"} and joined is None:
                joined = self.at
            self.at += 1

    def _words(self, first: int) -> str:
        """Return the text from a token to the next one."""
        text = self.text[self.tokens[first].start : self.next.start].replace("**", "")
        return " ".join(text.split()).strip("*`\"' .;,")


def _only_names(tokens: Sequence[_Token]) -> bool:
    """Return whether a reason is nothing but names of steps: it may be meant as more of them."""
    kinds = {token.kind for token in tokens if token.text not in _MORE}
    return kinds <= _NAMES and {"step", "number"} <= kinds
