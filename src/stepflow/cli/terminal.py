"""Text for a terminal: foreign text without control sequences, and values as people read them."""

from __future__ import annotations

import os
import re
from pathlib import Path

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")

TITLE = 100
"""Characters of a title that are shown where no terminal says how wide it is."""


def clean(text: str) -> str:
    """Return foreign text without control characters and colours; line ends stay, tabs become spaces.

    A terminal would obey what looks like a command to it (ECMA-48).
    """
    return _CONTROL.sub("", text).expandtabs(8).rstrip()


def shortened(text: str, width: int = TITLE) -> str:
    """Return a text that has at most `width` characters, its end replaced by `…` where it has more."""
    return text if len(text) <= width else f"{text[: width - 1].rstrip()}…"


def short_path(path: str) -> str:
    """Return a path, relative to the working directory where it is below it."""
    try:
        near = os.path.relpath(path) if path else ""
    except FileNotFoundError:  # the working directory, which a command can remove
        return path
    return path if near.startswith("..") else near


def duration(seconds: float) -> str:
    """Format seconds for people: `0.4 s`, `12 s`, `3 min 5 s`."""
    if seconds < 10:  # noqa: PLR2004 - below it, tenths matter
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def plural(count: int, word: str) -> str:
    """Format a count with its word: `1 step`, `2 steps`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def step_name(number: int, title: str) -> str:
    """Format a step in a sentence: `step 3 (Orders)`, `step 3` where it has no title."""
    return f"step {number} ({title})" if title else f"step {number}"


def home(path: str) -> str:
    """Format a folder as it is typed: `./name`."""
    near = short_path(path)
    return near if Path(near).is_absolute() else f"./{near}"
