"""`stepflow runs`: what was run, when, and how it ended; and forgetting what is not needed any more."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

command = typer.Typer(no_args_is_help=False)
PlatformName = Annotated[str, typer.Option("--name", metavar="NAME", help="Which platform; by default the only one.")]


@command.callback(invoke_without_command=True)
def list_all(
    context: typer.Context,
    *,
    name: PlatformName = "",
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

    if context.invoked_subcommand is not None:
        return
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


@command.command("prune")
def forget(
    *,
    name: PlatformName = "",
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            metavar="N",
            min=1,
            show_default=False,
            help="Keep the last N: 50, or 1 with --older-than.",
        ),
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DAYS", min=0, show_default=False, help="Only what began before that."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and do nothing.")] = False,
) -> None:
    """Remove runs from the record, with their logs and values.

    What a plan, a report or a log refers to stays: no step runs again for it. Every run keeps the last 50 by itself.

    Example: `stepflow runs prune --keep 10`
    """
    from contextlib import ExitStack  # noqa: PLC0415 - keeps `--help` quick

    from stepflow.cli import state  # noqa: PLC0415 - likewise
    from stepflow.cli.patience import notice  # noqa: PLC0415 - likewise
    from stepflow.engine import KEEP, held, prune, to_prune  # noqa: PLC0415 - likewise
    from stepflow.journal import Journal  # noqa: PLC0415 - likewise

    picked = state.pick(name)
    folder = (state.STATE / picked).absolute()
    last = keep or (KEEP if older_than is None else 1)
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(held(folder, waiting=notice))
        journal = stack.enter_context(Journal(folder / "journal.db", read_only=dry_run))
        found = to_prune(journal, folder, keep=last, days=older_than)
        size = found.size
        if not dry_run:
            prune(journal, found)
    if not found:
        sys.stdout.write(f"nothing of the record of `{picked}` can be removed\n")
        return
    said = f"{_listed(found.runs)} and {_counted(found.files)} ({size / 1e6:.1f} MB)"
    sys.stdout.write(f"{'would remove' if dry_run else 'removed'} {said}\n")


def _listed(runs: Sequence[int]) -> str:
    """Name runs, those that follow each other by the first and the last one."""
    spans: list[list[int]] = []
    for run in runs:
        if spans and run == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], run]
        else:
            spans.append([run])
    listed = ", ".join("-".join(map(str, span)) for span in spans)
    return f"{'run' if len(runs) == 1 else 'runs'} {listed}" if runs else "no run"


def _counted(files: Sequence[object]) -> str:
    from stepflow.cli.terminal import plural  # noqa: PLC0415 - keeps `--help` quick

    return plural(len(files), "file")


def _with_log(attempt: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an attempt with the path at which its log is now."""
    from stepflow.cli.state import step_log  # noqa: PLC0415 - keeps `--help` quick

    return {**attempt, "log": str(step_log(name, attempt["log"])) if attempt["log"] else ""}
