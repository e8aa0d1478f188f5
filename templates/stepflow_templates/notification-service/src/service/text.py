"""Text that can be stored: neither PostgreSQL nor UTF-8 has room for NUL and for halves of surrogate pairs."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean(text: str) -> str:
    """Put U+FFFD in the place of what cannot be stored."""
    return UNSTORABLE.sub("\ufffd", text)


def storable(text: str) -> str:
    """Refuse what cannot be stored. Raises `ValueError`."""
    if UNSTORABLE.search(text):
        raise ValueError("NUL and halves of surrogate pairs cannot be stored")
    return text


Text = Annotated[str, AfterValidator(storable)]
