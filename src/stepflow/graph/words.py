"""Text of a document for a picture: cut to a width, and escaped."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


def one_line(text: str) -> str:
    """Return text as one line, without control characters and marks that change the direction of writing."""
    return " ".join(_UNPRINTABLE.sub(" ", text).split())


def markup(text: str) -> str:
    """Escape text for XML and HTML, quotes included."""
    return html.escape(one_line(text), quote=True)


def width(text: str) -> int:
    """Count the columns that text takes in a terminal: East Asian wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def cut(text: str, columns: int) -> str:
    """Cut text to a number of columns, with an ellipsis where something is missing."""
    if width(text) <= columns:
        return text
    kept, used = "", 0
    for letter in text:
        used += width(letter)
        if used > columns - 1:
            break
        kept += letter
    return kept.rstrip() + "\u2026"


def wrap(text: str, columns: int, lines: int) -> list[str]:
    """Break text at spaces into at most so many lines; what does not fit is cut."""
    made: list[str] = []
    words = iter(text.split())
    line = ""
    for word in words:
        longer = f"{line} {word}" if line else word
        if width(longer) <= columns or not line:
            line = longer
            continue
        made.append(line)
        line = word
        if len(made) == lines - 1:
            line = " ".join([word, *words])
    return [cut(part, columns) for part in _present(made, line)]


def _present(made: list[str], last: str) -> Iterator[str]:
    yield from made
    if last:
        yield last
