"""SMS texts: which alphabet they need and how many segments they take (3GPP TS 23.038 and 23.040)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = frozenset("\f^{}\\[~]|€")  # an escape and a character: two septets
E164 = re.compile(r"\+[1-9][0-9]{6,14}")  # ITU-T E.164: at most 15 digits
LIMITS = {"gsm-7": (160, 153), "ucs-2": (70, 67)}  # one segment alone; one of several, less the 6-octet header


@dataclass(frozen=True, slots=True)
class Segments:
    """How a text is sent: its alphabet, its length in septets or UTF-16 units, and the number of segments."""

    encoding: Literal["gsm-7", "ucs-2"]
    units: int
    count: int


def segments(text: str) -> Segments:
    """Count the segments of an SMS. A character of two units is never split between segments."""
    encoding: Literal["gsm-7", "ucs-2"] = "gsm-7" if all(c in BASIC or c in EXTENDED for c in text) else "ucs-2"
    widths = [_width(character, encoding) for character in text]
    units = sum(widths)
    alone, part = LIMITS[encoding]
    if units <= alone:
        return Segments(encoding, units, 1)
    count, room = 1, part
    for width in widths:
        if width > room:
            count, room = count + 1, part
        room -= width
    return Segments(encoding, units, count)


def _width(character: str, encoding: str) -> int:
    if encoding == "gsm-7":
        return 2 if character in EXTENDED else 1
    return 2 if ord(character) > 0xFFFF else 1  # noqa: PLR2004 - beyond it UTF-16 takes a surrogate pair
