"""`stepflow resume`: continue a run that failed, was interrupted or was killed."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from stepflow.cli.options import Accepted, Deadline, NoVerify, seconds
from stepflow.errors import UsageError


def command(
    run: Annotated[
        int | None, typer.Argument(metavar="RUN", show_default=False, help="Which run's document; the last one.")
    ] = None,
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Which platform; by default the only one.")] = "",
    start: Annotated[
        str,
        typer.Option("--from", metavar="STEP", help="Run this step (its number or id) and what relies on it again."),
    ] = "",
    plan: Annotated[bool, typer.Option("--plan", help="Show the plan and do nothing.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", min=1, help="How many steps at once.")] = 8,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop everything at the first failure.")] = False,
    deadline: Deadline = "",
    accept_unchanged: Accepted = None,
    no_verify: NoVerify = False,
    json: Annotated[bool, typer.Option("--json", help="One event a line on stdout.")] = False,
) -> int:
    """Continue a run that failed or was cut off.

    Reads its document again, shows what is left to do, and does it.

    Example: `stepflow resume --plan`
    """
    from stepflow.cli import execute, state  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.engine import Options  # noqa: PLC0415 - likewise

    picked = state.pick(name)
    past = state.history(picked)
    found = next((each for each in past if run in {None, each.number}), None)
    if found is None:
        problem = f"`{picked}` has no run {run}" if past else f"`{picked}` has never been run"
        raise UsageError(problem, hint=f"`{state.say('runs', picked)}` lists them" if past else "`stepflow run FILE`")
    platform = state.again(found, picked)
    forced, accepted = (
        execute.steps_named(platform, given) for given in ([start] if start else [], accept_unchanged or [])
    )
    if both := {*forced} & {*accepted}:
        problem = f"step {min(both)} is both to run again (`--from`) and to stay as it is (`--accept-unchanged`)"
        raise UsageError(problem, hint="leave one of the two out")
    if plan:
        return execute.show_plan(platform, forced, accepted)
    typed = state.say("resume", picked)
    how = Options(jobs=jobs, fail_fast=fail_fast, deadline=seconds("--deadline", deadline), resume=typed)
    how = replace(how, forced=forced, accepted=accepted, verify=not no_verify)
    return execute.execute(platform, how, json=json, show=True)
