"""What others wrote, on its way to a terminal, which obeys what looks like a command to it (ECMA-48)."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """Return foreign text without control characters and colours; line ends stay, tabs become spaces."""
    return _CONTROL.sub("", text).expandtabs(8).rstrip()
