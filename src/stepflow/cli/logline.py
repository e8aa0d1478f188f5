"""A line of a log as people read it: services write JSON, a person wants time, level and what happened."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from stepflow.cli.terminal import clean

_TOLD = {"time", "level", "message", "service", "instance", "logger", "trace_id", "span_id", "duration_ms", "exception"}
"""What is shown in its own place, or is the same in each line of one log."""


def readable(line: str) -> str:
    """Format a line for a terminal: JSON in short, any other as it is, both without control characters."""
    try:
        entry = json.loads(line)
    except ValueError:
        return clean(line)
    if not isinstance(entry, dict) or not {"time", "level", "message"} <= entry.keys():
        return clean(line)
    took = [f"{entry['duration_ms']} ms"] if "duration_ms" in entry else []
    rest = [f"{key}={value}" for key, value in entry.items() if key not in _TOLD and value not in ("", None)]
    said = "  ".join([str(entry["message"]), *took, *rest])
    shown = f"{_clock(entry['time'])}  {entry['level']!s:<7}  {said}"
    return clean(shown if not entry.get("exception") else f"{shown}\n{entry['exception']}")


def _clock(time: Any) -> str:  # noqa: ANN401 - a member of foreign JSON
    try:
        return f"{datetime.fromisoformat(str(time)).astimezone():%H:%M:%S}"
    except ValueError:
        return str(time)
