"""Reads what a job wrote to `$STEPFLOW_HANDOFF`: one JSON object (RFC 8259) that any other program can read, too."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from stepflow.errors import PermanentError

DEEPEST = 100  # levels of objects and lists
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]|-?[0-9][0-9.eE+-]*|-?[A-Za-z]+', re.DOTALL)
_WORDS = frozenset({"true", "false", "null"})
_EXAMPLE = 'write one JSON object, for example `jq -n \'{version: "1.2"}\' > "$STEPFLOW_HANDOFF"`'
_VARIABLE = "`$STEPFLOW_HANDOFF`"


def read_written(path: Path, job: str) -> dict[str, Any] | None:
    """Return what a job wrote; None when it wrote nothing. Raises `PermanentError` for what is not a JSON object."""
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise _refused(job, f"wrote no JSON to {_VARIABLE}: {error}") from error
    except OSError as error:
        hint = "write a file of JSON there"
        raise PermanentError(f"what `{job}` put at {_VARIABLE} cannot be read: {error.strerror}", hint=hint) from error
    if wrong := _beyond_json(text):
        raise _refused(job, f"wrote no JSON to {_VARIABLE}: {wrong}")
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is not text, escaped or not
    except ValueError as error:
        raise _refused(job, f"wrote no JSON to {_VARIABLE}: {error}") from error
    if not isinstance(value, dict):
        problem = f"`{job}` wrote a {type(value).__name__} to {_VARIABLE}, where an object is needed"
        raise PermanentError(problem, hint='write one JSON object: `{"key": ...}`')
    return value


def _refused(job: str, problem: str) -> PermanentError:
    return PermanentError(f"`{job}` {problem}", hint=_EXAMPLE)


def _beyond_json(text: str) -> str:
    """Return what Python reads though it is not JSON, or too deep for others, with its place; "" for nothing."""
    depth = 0
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word in "[{":
            depth += 1
            if depth > DEEPEST:
                return f"more than {DEEPEST} levels: {_place(text, token.start())}"
        elif word in "]}":
            depth -= 1
        elif word[0] != '"' and word not in _WORDS and not _finite(word):
            return f"`{word[:20]}` is not a number that JSON has: {_place(text, token.start())}"
    return ""


def _finite(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:  # not a number: whatever reads it says so
        return True


def _place(text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    return f"line {line} column {offset - text.rfind(chr(10), 0, offset)}"
