"""`stepflow runs`: what was run, when, and how it ended."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer


def command(
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Which platform; by default the only one.")] = "",
    json: Annotated[bool, typer.Option("--json", help="The same as JSON, with each attempt at a step.")] = False,
) -> None:
    """List what was run, when, and how it ended.

    Example: `stepflow runs`
    """
    import json as encoder  # noqa: PLC0415 - the option has its name
    from datetime import UTC, datetime  # noqa: PLC0415 - keeps `--help` quick

    from stepflow.cli import state  # noqa: PLC0415 - likewise
    from stepflow.cli.terminal import duration  # noqa: PLC0415 - likewise
    from stepflow.engine import attempts_of  # noqa: PLC0415 - likewise

    picked = state.pick(name)
    past = state.history(picked)
    if json:
        with state.journal(picked) as journal:
            listed = [
                {"run": run.number, "status": state.ending(picked, run), "document": run.document, "target": run.target,
                 "options": dict(run.options),
                 "started": run.started, "ended": run.ended, "steps": dict(run.steps),
                 "attempts": [_with_log(each, picked) for each in attempts_of(journal, run.number)]}
                for run in past
            ]  # fmt: skip
        sys.stdout.write(encoder.dumps({"platform": picked, "runs": listed}, indent=2) + "\n")
        return
    for run in past:
        began = datetime.fromtimestamp(run.started, UTC).astimezone()
        took = duration(run.ended - run.started) if run.ended else ""
        states = list(run.steps.values())
        counts = ", ".join(f"{states.count(each)} {each}" for each in dict.fromkeys(states))
        line = f"{run.number:>4}  {began:%Y-%m-%d %H:%M:%S}  {took:>10}  {state.ending(picked, run):<11}  {counts}"
        sys.stdout.write(f"{line.rstrip()}\n")


def _with_log(attempt: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an attempt with the path at which its log is now."""
    from stepflow.cli.state import step_log  # noqa: PLC0415 - keeps `--help` quick

    return {**attempt, "log": str(step_log(name, attempt["log"])) if attempt["log"] else ""}
