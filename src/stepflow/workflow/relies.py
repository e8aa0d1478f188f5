"""Reads `RelyPreviousStep`: yes, no, or steps by name, each with an optional reason."""

from __future__ import annotations

import re
from dataclasses import dataclass

_YES = frozenset({"yes", "true", "1"})
_NO = frozenset({"no", "false", "0"})
_DASH = r"[ \t]*(?:[ \t]-+[ \t]|[\u2013\u2014])[ \t]*"
_FLAG = re.compile(rf"(?P<flag>[a-z]+|[01])[.!]?[ \t]*(?:(?:{_DASH}|[(:,])(?P<why>.*))?", re.IGNORECASE | re.DOTALL)
_STEPS = re.compile(
    r"(?:[ \t\n,;&]|and\b|[-*+][ \t])*steps?[ \t]*#?[ \t]*(?P<numbers>[0-9]{1,9}"
    r"(?:[ \t]*(?:,[ \t]*and\b|,|&|\band\b)[ \t]*#?[0-9]{1,9})*)(?![0-9])",
    re.IGNORECASE,
)
_WHY = re.compile(
    rf"(?:{_DASH}(?P<dash>.*?)|[ \t]*\((?P<paren>[^()\n]*)\)[ \t]*)"
    r"(?=[ \t]*(?:[,;\n&]|\band\b)[-*+ \t\n]*steps?[ \t]*\#?[ \t]*[0-9]|\Z)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Relies:
    """What a field says: a flag, or step numbers with their reasons."""

    flag: bool | None
    why: str = ""
    named: tuple[tuple[int, str], ...] = ()


def read_relies(value: str) -> Relies | None:
    """Read the field's value; None if it is neither yes, no, nor a list of steps."""
    text = re.sub(r"[ \t]+", " ", value).strip("`*_\"' \n")
    flag = _FLAG.fullmatch(text)
    if flag and flag["flag"].lower() in _YES | _NO:
        why = (flag["why"] or "").strip().removesuffix(")") if flag["why"] else ""
        return Relies(flag["flag"].lower() in _YES, " ".join(why.split()))
    named: dict[int, str] = {}
    at = 0
    while at < len(text):
        steps = _STEPS.match(text, at)
        if not steps:
            break
        at = steps.end()
        why = _WHY.match(text, at)
        reason = ""
        if why:
            at = why.end()
            reason = " ".join((why["dash"] or why["paren"] or "").split())
        for number in re.findall(r"[0-9]+", steps["numbers"]):
            named.setdefault(int(number), reason)
    rest = text[at:].strip(" \t\n.,;")
    return Relies(None, named=tuple(named.items())) if named and not rest else None
