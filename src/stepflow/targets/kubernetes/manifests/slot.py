"""Texts that differ between clusters: an object is made once, and a Helm chart leaves its slots open.

A `Slot` is a `str`, its default, so an object with slots is also the object that the defaults make. Text that is
composed of slots is built by the functions of this module; an f-string would keep the defaults and lose the slots.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Self

HELPERS = r"""{{- /* An object named after its content: its name, what was in the slots of that, and what is. */ -}}
{{- define "platform.named" -}}
{{- $name := index . 0 -}}
{{- $now := index . 2 | join "\n" -}}
{{- if eq (index . 1 | join "\n") $now }}{{ $name }}
{{- else }}{{ printf "%s-%s" ($name | trunc 54 | trimSuffix "-") (sha256sum $now | trunc 8) }}{{ end -}}
{{- end -}}
"""
"""The templates that expressions of slots include; a chart has to define them."""


class Slot(str):
    """A text with a default (itself), and the Helm pipeline that returns it in a chart."""

    __slots__ = ("expression", "parts", "roots")
    expression: str
    parts: tuple[str, ...]  # of a text in a row; of any other slot only itself
    roots: tuple[Slot, ...]  # the slots that it is made from; of one that is made from none, itself

    def __new__(cls, default: str, expression: str, *, parts: Iterable[str] = (), roots: Iterable[Slot] = ()) -> Self:
        """Return a slot; `expression` is a pipeline of Go's `text/template` with Helm's functions, without braces."""
        slot = super().__new__(cls, default)
        slot.expression = expression
        slot.parts = tuple(parts) or (slot,)
        slot.roots = tuple(roots) or (slot,)
        return slot

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself: a slot never changes."""
        del memo
        return self


def text(*parts: str) -> str:
    """Return the parts in a row; a slot if one of them is a slot."""
    joined = "".join(parts)
    flat: list[str] = []
    for part in (inner for each in parts for inner in (each.parts if isinstance(each, Slot) else (each,))):
        if flat and not isinstance(part, Slot) and not isinstance(flat[-1], Slot):
            flat[-1] += part
        else:
            flat.append(part)
    if not any(isinstance(part, Slot) for part in flat):
        return joined
    return Slot(joined, f'list {" ".join(map(operand, flat))} | join ""', parts=flat, roots=_roots(flat))


def replaced(value: str, old: str, new: str) -> str:
    """Return a text with `old` replaced by `new`, also in what the expression of a slot returns."""
    if not isinstance(value, Slot):
        return value.replace(old, new)
    expression = f"{operand(value)} | replace {quoted(old)} {quoted(new)}"
    return Slot(value.replace(old, new), expression, roots=value.roots)


def given(slot: Slot, then: str, otherwise: str) -> Slot:
    """Return a slot that is `then` in a chart where `slot` is not empty; its default is `otherwise`."""
    expression = f"ternary {operand(then)} {operand(otherwise)} (not (empty {operand(slot)}))"
    return Slot(otherwise, expression, roots=_roots((slot, then, otherwise)))


def json_text(value: object, margin: str = "\n") -> str:
    """Return readable JSON with sorted keys, as `json.dumps` writes it; slots in it stay slots."""
    inner = f"{margin}  "
    match value:
        case Slot():
            plain = json.dumps(value)
            default = f"eq {operand(value)} {quoted(str(value))}"
            return Slot(plain, f"ternary {quoted(plain)} ({operand(value)} | toJson) ({default})", roots=value.roots)
        case dict() if value:
            lines = [(f"{inner}{json.dumps(key)}: ", json_text(value[key], inner), ",") for key in sorted(value)]
        case list() if value:
            lines = [(inner, json_text(item, inner), ",") for item in value]
        case _:
            return json.dumps(value)
    opened, closed = "{}" if isinstance(value, dict) else "[]"
    return text(opened, *[part for line in lines for part in line][:-1], margin, closed)


def content_name(default: str, content: object) -> str:
    """Return the name of an object that is named after its content: another one where a slot in that is filled."""
    found = {root.expression: root for slot in _slots_in(content) for root in slot.roots}
    if not found:
        return default
    then, now = " ".join(quoted(str(each)) for each in found.values()), " ".join(map(operand, found.values()))
    expression = f'include "platform.named" (list {quoted(default)} (list {then}) (list {now}))'
    return Slot(default, expression, roots=found.values())


def operand(value: str) -> str:
    """Return a text or slot as an argument of a template function."""
    return f"({value.expression})" if isinstance(value, Slot) else quoted(value)


def quoted(value: str) -> str:
    """Return a text as a string constant of Go."""
    return json.dumps(value, ensure_ascii=False)


def _roots(parts: Iterable[str]) -> tuple[Slot, ...]:
    return tuple({root.expression: root for part in parts if isinstance(part, Slot) for root in part.roots}.values())


def _slots_in(value: object) -> Iterator[Slot]:
    if isinstance(value, Slot):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _slots_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _slots_in(inner)
