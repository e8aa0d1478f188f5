"""Reads the field `RelyPreviousStep`: yes, no, or steps, each with an optional reason."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from stepflow.errors import Span
from stepflow.workflow.excerpt import excerpt
from stepflow.workflow.model import Field, Step
from stepflow.workflow.numbers import StepNumbers
from stepflow.workflow.references import Named, read_references
from stepflow.workflow.sections import Reading

FIELD = "relypreviousstep"
_FLAG = re.compile(
    r"(?P<flag>yes|true|1|no|false|0)\b[.!]?[ \t\n]*+"
    r"(?P<mark>-+(?=\s)|[\u2010-\u2015(:\uff1a,;]|(?=steps?[ \t]*[#0-9])|\Z)",
    re.IGNORECASE,
)
_YES = frozenset({"yes", "true", "1"})
_HINT = "write `yes`, `no`, or the steps: `Step 2, Step 5 - why`"


@dataclass(frozen=True, slots=True)
class Relies:
    """What a field says: a flag, or steps with their reasons."""

    flag: bool | None
    why: str = ""
    named: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class Unread:
    """What of a field cannot be read."""

    words: str


def read_field(reading: Reading, step: Step, known: StepNumbers) -> Relies:
    """Read the field of a step, and report what cannot be read; without one nothing is said."""
    given = step.fields.get(FIELD)
    if given is None:
        return Relies(None)
    if not given.value:
        message = f"`{given.key}` is empty, and read as `yes`, as if it were missing"
        reading.report("SF110", given.span, message, "write `yes`, `no`, or the steps: `Step 2, Step 5`", "warning")
        return Relies(None)
    relies = read_relies(given.value)
    if isinstance(relies, Relies):
        return relies
    shown = excerpt(given.value)
    message = f"`{given.key}: {shown}` is neither yes, nor no, nor a list of steps"
    if len(relies.words) < len(given.value.strip()):
        message = f"`{excerpt(relies.words)}` is not understood in `{given.key}: {shown}`"
    reading.report("SF111", _place(reading, given, relies.words), message, _hint(given.value, step, known))
    return Relies(None)


def read_relies(value: str) -> Relies | Unread:
    """Read the field's value.

    Steps may follow a yes. Else what follows a flag is its reason: prose, which names no step.
    """
    text = value.strip("`*_\"' \n")
    flag = _FLAG.match(text)
    if not flag:
        read = read_references(text)
        if read.stopped is not None or not read.named:
            return Unread(text[read.stopped or 0 :])
        return Relies(None, named=read.named)
    says, prose = flag["flag"].lower() in _YES, flag["mark"] not in {"", ",", ";"}
    why = text[flag.end() :].strip()
    rest = ""
    if flag["mark"] == "(":
        why, _, rest = why.rpartition(")") if ")" in why else (why, "", "")
    rest = rest.strip(" \t\n.,;")
    read = read_references(why, bare=True)
    names = bool(read.named) and read.stopped is None  # the reason is nothing but steps
    if names and says and not rest and not flag["flag"].isdigit():
        return Relies(None, named=read.named)
    if names:
        return Unread(rest or text)
    if read.named and says and not prose:
        return Unread(why[read.stopped or 0 :])
    return Relies(says, " ".join(f"{why} {rest}".split()))


def _place(reading: Reading, given: Field, words: str) -> Span:
    """Return the place of the words that a field ends with: where they begin, if that can be found in its line."""
    before = given.value[: given.value.rfind(words)]
    line = given.value_span.line + before.count("\n")
    text = reading.source.line(line)
    first = words.split("\n", 1)[0].rstrip()
    column = text.rfind(first) + 1
    if not (column and first):
        return given.value_span
    return replace(given.value_span, line=line, column=column, length=len(first))


def _hint(value: str, step: Step, known: StepNumbers) -> str:
    """Return what to type; bare numbers of earlier steps are probably meant as these."""
    read = read_references(value, bare=True)
    low = all(max(each.first, each.last) < step.number for each in read.named)
    if not read.named or read.stopped is not None or not low or known.missing(read.named) or "step" in value.lower():
        return _HINT
    many = len(read.named) > 1 or read.named[0].first != read.named[0].last
    return f"did you mean `{'Steps' if many else 'Step'} {excerpt(value)}`?"
