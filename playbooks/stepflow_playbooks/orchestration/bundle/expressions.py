"""Places in objects where a chart's values go: Helm expressions in YAML that is otherwise data.

While objects are plain data an expression is a word that occurs in none of them; in the finished YAML each word becomes
its expression, and what merely looks like one in the data is escaped.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from .text import stream

_OPEN = "{{"


class Expressions:
    """The expressions of one chart; `data` is all that the chart is made from."""

    def __init__(self, data: object) -> None:
        text = json.dumps(data)
        # Begins like a name, so that it can stand for one; no text can hold a hash of itself.
        self._mark = f"x{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        self._found: list[str] = []

    def word(self, expression: str) -> str:
        """Give the word for an expression. Where the word is all of a value the result is written as JSON."""
        return self._noted("w", expression)

    def line(self, key: str, expression: str) -> str:
        """Give the word for a key whose line is there only where the expression is not empty; its own value is ""."""
        return self._noted("l", f"{key} {expression}")

    def render(self, objects: Sequence[object]) -> str:
        """Give the template of some objects."""
        text = stream(objects).replace(_OPEN, f'{_OPEN} "{_OPEN}" }}}}')
        text = re.sub(rf"^( *){self._mark}l(\d{{4}}): ''$", self._line, text, flags=re.MULTILINE)
        text = re.sub(rf"(?<=[:-] ){self._mark}w(\d{{4}})$", self._whole, text, flags=re.MULTILINE)
        return re.sub(rf"{self._mark}w(\d{{4}})", self._part, text)

    def operand(self, text: str) -> str:
        """Write a text, with words in it or without, as something that an expression can take."""
        parts = re.split(rf"{self._mark}w(\d{{4}})", text)
        if len(parts) == 1:
            return literal(text)
        written = [f"({self._found[int(part)]})" if index % 2 else literal(part) for index, part in enumerate(parts)]
        return f'(list {" ".join(written)} | join "")'

    def _noted(self, kind: str, expression: str) -> str:
        self._found.append(expression)
        return f"{self._mark}{kind}{len(self._found) - 1:04}"

    def _line(self, found: re.Match[str]) -> str:
        key, _, expression = self._found[int(found[2])].partition(" ")
        lines = (f"{{{{- with {expression} }}}}", f"{key}: {{{{ toJson . }}}}", "{{- end }}")
        return "\n".join(found[1] + line for line in lines)

    def _whole(self, found: re.Match[str]) -> str:
        return f"{{{{ {self._found[int(found[1])]} | toJson }}}}"

    def _part(self, found: re.Match[str]) -> str:
        return f"{{{{ {self._found[int(found[1])]} }}}}"


def literal(text: str) -> str:
    """Write a text as a Go string."""
    return json.dumps(text, ensure_ascii=False)
