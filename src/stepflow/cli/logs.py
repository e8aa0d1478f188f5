"""`stepflow logs`: what a workload, a server or a step printed."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from stepflow.errors import UsageError

_NEAR = 3  # names in a hint
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")  # of what can have a log
_TOLD = {"time", "level", "message", "service", "instance", "logger", "trace_id", "span_id", "duration_ms", "exception"}
"""Members that have their own column, or are the same in each line of a log."""


def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            show_default=False,
            help="A workload, a backing service, or the number of a step that runs commands.",
        ),
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

    from stepflow.cli import state  # noqa: PLC0415 - likewise
    from stepflow.cli.patience import patiently  # noqa: PLC0415 - likewise
    from stepflow.engine import last_attempts, logs_of, past  # noqa: PLC0415 - likewise

    picked = state.pick(name)
    with state.journal(picked) as journal:
        attempts = sorted(last_attempts(journal).values(), key=lambda each: (each.stood, each.attempt))
        steps = {str(each.number): each for each in attempts if each.log}
        own = logs_of(journal, steps[what].key) if what in steps else ()
        made = past(journal, Path()).workloads
    if own:
        _print_step(int(what), [(run, state.step_log(picked, log)) for run, log in own], tail)
        return
    target = state.target(picked) if made else None
    known = sorted({*(asyncio.run(patiently(target.observe(), target.name)) if target else {}), *made})
    listed = [*known, *(f"{number} (a step)" for number in sorted(steps, key=int))]
    if not what:
        sys.stdout.writelines(f"{each}\n" for each in listed or [f"nothing of `{picked}` has written a log"])
        return
    if what in {str(each.number) for each in attempts}:
        raise UsageError(f"step {what} runs no command, so it has no log", hint=_there_is(listed))
    if target is None or not _NAME.fullmatch(what):
        raise _unknown(what, known, listed)
    try:  # the log of what was taken down still exists
        asyncio.run(_print(target.logs(what, follow=follow, tail=tail)))
    except UsageError as error:
        raise _unknown(what, known, listed) from error


def _print_step(number: int, logs: Sequence[tuple[int, Path]], tail: int) -> None:
    """Print the last log of a step, or where it printed something when it has printed nothing since."""
    from stepflow.cli.terminal import short_path  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.engine import tail as last_lines  # noqa: PLC0415 - likewise

    (run, log), *earlier = logs
    sys.stdout.writelines(f"{_shown(line)}\n" for line in last_lines(log, tail))
    if last_lines(log, 1):
        return
    sys.stdout.flush()
    said = f"step {number} printed nothing in run {run}"
    if before := next(((run, log) for run, log in earlier if last_lines(log, 1)), None):
        said += f"; what it printed in run {before[0]} is in `{short_path(str(before[1]))}`"
    sys.stderr.write(f"hint: {said}\n")


async def _print(lines: AsyncIterator[str]) -> None:
    async for line in lines:
        sys.stdout.write(f"{_shown(line)}\n")
        sys.stdout.flush()


def _shown(line: str) -> str:
    """Return a line unchanged for a pipe or a file, and escaped for a terminal, which would obey what is in it."""
    line = line.removesuffix("\n")
    return readable(line) if sys.stdout.isatty() else line


def _unknown(what: str, names: Sequence[str], listed: Sequence[str]) -> UsageError:
    from difflib import get_close_matches  # noqa: PLC0415 - keeps `--help` quick

    near = [each for each in names if what in each] or get_close_matches(what, names)
    hint = f"did you mean {' or '.join(f'`{each}`' for each in near[:_NEAR])}?" if near else _there_is(listed)
    return UsageError(f"there is no log of `{what}`", hint=hint)


def _there_is(listed: Sequence[str]) -> str:
    return f"there is: {', '.join(listed)}" if listed else "nothing of this platform has written a log"


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
