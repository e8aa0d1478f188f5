"""`stepflow logs`: what a workload, a server or a step printed."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from stepflow.errors import UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")  # of what can have a log
_TOLD = {"time", "level", "message", "service", "instance", "logger", "trace_id", "span_id", "duration_ms", "exception"}
"""Members that have their own column, or are the same in each line of a log."""


def command(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="A workload, a backing service, or the number of a step.")
    ] = "",
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Which platform; by default the only one.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the log as it grows.")] = False,
    tail: Annotated[int, typer.Option("--tail", "-n", metavar="N", min=0, help="How many lines to start with.")] = 100,
) -> None:
    """Print the log of a workload or of a step.

    Without a name, list the logs. A terminal shows the JSON of services in short; `| cat` shows it whole.

    Example: `stepflow logs order-service -f`
    """
    import asyncio  # noqa: PLC0415 - keeps `--help` quick
    from pathlib import Path  # noqa: PLC0415 - likewise

    from stepflow.cli import state  # noqa: PLC0415 - likewise
    from stepflow.engine import last_attempts, past  # noqa: PLC0415 - likewise
    from stepflow.engine import tail as last_lines  # noqa: PLC0415 - likewise

    picked = state.pick(name)
    with state.journal(picked) as journal:
        attempts = sorted(last_attempts(journal).values(), key=lambda each: (each.stood, each.attempt))
        steps = {str(each.number): str(state.step_log(picked, each.log)) for each in attempts if each.log}
        made = past(journal, Path()).workloads
    if what in steps:
        sys.stdout.writelines(f"{_shown(line)}\n" for line in last_lines(steps[what], tail))
        return
    target = state.target(picked) if made else None
    observed = asyncio.run(target.observe()) if target else {}
    known = [*sorted({*observed, *made}), *(f"{number} (a step)" for number in sorted(steps, key=int))]
    if target is None or not _NAME.fullmatch(what):
        raise _unknown(what, known)
    try:  # the log of what was taken down still exists
        asyncio.run(_print(target.logs(what, follow=follow, tail=tail)))
    except UsageError as error:
        raise _unknown(what, known) from error


async def _print(lines: AsyncIterator[str]) -> None:
    async for line in lines:
        sys.stdout.write(f"{_shown(line)}\n")
        sys.stdout.flush()


def _shown(line: str) -> str:
    """Return a line unchanged for a pipe or a file, and escaped for a terminal, which would obey what is in it."""
    line = line.removesuffix("\n")
    return readable(line) if sys.stdout.isatty() else line


def _unknown(what: str, known: Sequence[str]) -> UsageError:
    hint = f"there is: {', '.join(known)}" if known else "nothing of this platform has written a log"
    return UsageError(f"there is no log of `{what}`" if what else "which log?", hint=hint)


def readable(line: str) -> str:
    """Format a line for a terminal: JSON in short, any other as it is, both without control characters."""
    import json  # noqa: PLC0415 - keeps `--help` quick

    from stepflow.cli.terminal import clean  # noqa: PLC0415 - likewise

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
