"""Text that can be stored: PostgreSQL rejects NUL, and UTF-8 halves of surrogate pairs."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean(text: str) -> str:
    """Replace what cannot be stored with U+FFFD."""
    return UNSTORABLE.sub("\ufffd", text)


def storable(text: str) -> str:
    """Reject what cannot be stored. Raises `ValueError`."""
    if UNSTORABLE.search(text):
        raise ValueError("NUL and halves of surrogate pairs cannot be stored")
    return text


Text = Annotated[str, AfterValidator(storable)]
