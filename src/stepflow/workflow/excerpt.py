"""Shortens what a message shows of a document: a value of any length, a list of any length."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

_VALUE = 60  # characters
_LISTED = 8


def excerpt(text: str, longest: int = _VALUE) -> str:
    """Return a text in one line; where it is longer than that, its end is replaced by `…`."""
    words = " ".join(text.split())
    return words if len(words) <= longest else f"{words[: longest - 1].rstrip()}…"


def listed(words: Iterable[str], count: int, last: str = " and ") -> str:
    """Join words, of which there are `count`: `a`, `a and b`, `a, b and c`; `a, b, c and 9 more` where they are many.

    `last` joins the last of few.
    """
    shown = list(islice(words, _LISTED))
    if count > len(shown):
        return f"{', '.join(shown)} and {count - len(shown)} more"
    return last.join([*filter(None, [", ".join(shown[:-1])]), *shown[-1:]])
