"""The text of a field's value, cut out of its list item: dedented, but for fenced text, which is verbatim."""

from __future__ import annotations

import re

_OPENS = re.compile(r"[ \t]*+(?P<mark>`{3,}+(?=[^`\n]*$)|~{3,}+)")
_CODE = re.compile(r"\A`(?P<inner>[^`\n]+)`\Z")
_TAB = 4


def clean(raw: str, *, nested: bool = False) -> str:
    """Return the text of a value, without a fence or code marks if these hold all of it.

    `nested`: a fence that holds another one stays, for a reader that has to know what is fenced.
    """
    first, *rest = raw.split("\n")
    margin = min((_indent(line) for line in rest if line.strip()), default=0)
    lines: list[str] = []
    mark, deepest = "", 0  # of the fence that is open, and how far its end may be indented
    fences: list[tuple[int, int]] = []  # the lines that open and close one
    for line in [first.strip(), *rest]:
        inside = _without(line, margin) if lines else line
        if mark:
            if _closes(inside, mark, deepest):
                fences[-1] = (fences[-1][0], len(lines))
                mark = ""
            lines.append(inside if mark else inside.rstrip())
            continue
        words = inside.lstrip(" \t")
        inside = inside[: len(inside) - len(words)].expandtabs(_TAB) + words.rstrip()
        if opens := _OPENS.match(inside):
            mark, deepest = opens["mark"], opens.start("mark") + 3
            fences.append((len(lines), -1))
        lines.append(inside)
    value = "\n".join(lines).strip("\n ")
    if fences and _holds_all(lines, fences):
        inner = lines[fences[0][0] + 1 : fences[0][1]]
        if not (nested and any(map(_OPENS.match, inner))):
            return "\n".join(inner).strip("\n")
        return value
    code = _CODE.match(value)
    return code["inner"].strip() if code else value


def _holds_all(lines: list[str], fences: list[tuple[int, int]]) -> bool:
    start, end = fences[0]
    return end >= 0 and not any(lines[:start]) and not any(lines[end + 1 :])


def _closes(line: str, mark: str, deepest: int) -> bool:
    words = line.strip()
    return len(words) >= len(mark) and not words.strip(mark[0]) and _indent(line) <= deepest


def _indent(line: str) -> int:
    return len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(_TAB))


def _without(line: str, margin: int) -> str:
    """Return a line without the blanks of the first columns; a tab that goes beyond them becomes blanks."""
    column = at = 0
    while column < margin and line[at : at + 1] in {" ", "\t"}:
        column += 1 if line[at] == " " else _TAB - column % _TAB
        at += 1
    return " " * (column - margin) + line[at:]
