"""`stepflow verify`: check the running platform against the document's expected outcomes again."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stepflow.engine import Platform
    from stepflow.events import Event, Outcome


def command(
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Which platform; by default the only one.")] = "",
    chaos: Annotated[
        bool, typer.Option("--chaos", help="Also kill a replica, and check that no client notices; not in a live shop.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the evidence in full.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The outcomes as JSON.")] = False,
) -> int:
    """Check the document's expected outcomes again.

    Repeats the journeys through the running platform that a run ends with; refused during a run. What they write is
    marked, left out of all figures and removed again. The exit code is 1 when one fails.

    Example: `stepflow verify`
    """
    import asyncio  # noqa: PLC0415 - keeps `--help` quick
    import json as encoder  # noqa: PLC0415 - the option has its name
    from dataclasses import asdict  # noqa: PLC0415 - as above

    from stepflow.cli import state  # noqa: PLC0415 - as above
    from stepflow.cli.patience import notice  # noqa: PLC0415 - as above
    from stepflow.engine import held  # noqa: PLC0415 - as above

    picked = state.pick(name)
    run = state.last_run(picked)
    platform = state.again(run, picked)
    with held(platform.site.state, waiting=notice):
        outcomes = asyncio.run(_outcomes(platform, run.number, chaos=chaos))
    if json:
        sys.stdout.write(encoder.dumps({"outcomes": [asdict(each) for each in outcomes]}, indent=2) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(outcomes, run.number, verbose=verbose))
    return int(any(each.verdict == "failed" for each in outcomes))


async def _outcomes(platform: Platform, run: int, *, chaos: bool) -> tuple[Outcome, ...]:
    """Check the expected outcomes. Raises `StepflowError` when the platform does not match its document."""
    from stepflow.cli import state  # noqa: PLC0415 - keeps `--help` quick
    from stepflow.cli.patience import patiently  # noqa: PLC0415 - likewise
    from stepflow.cli.terminal import shortened, step_name  # noqa: PLC0415 - likewise
    from stepflow.engine import past, survey, verify  # noqa: PLC0415 - likewise
    from stepflow.errors import StepflowError  # noqa: PLC0415 - likewise

    name = platform.site.platform
    with state.journal(name) as journal:
        found = await patiently(survey(platform, past(journal, platform.site.out)), platform.target)
    left = [step for step in found.plan.steps if step.action != "reuse"]
    if left:
        first = left[0].facts
        said = f"{step_name(first.number, shortened(first.title))}: {'; '.join(left[0].reasons)}"
        raise StepflowError(f"`{name}` does not match the document: {said}", hint=f"`{state.say('resume', name)}`")
    expected = [text.value for text in platform.workflow.outcomes]
    log = platform.site.state / "logs" / f"run{run}.log"
    return await verify(found.desired.values(), found.live, expected, run=run, emit=_tell, log=log, chaos=chaos)


def _lines(found: Sequence[Outcome], run: int, *, verbose: bool = False) -> Iterator[str]:
    """Format the outcomes as text; on a terminal, unless `verbose`, evidence is cut to two lines."""
    from stepflow.cli.reporters.story import PLAIN, Look, outcome_lines  # noqa: PLC0415 - keeps `--help` quick

    look = PLAIN if verbose or not sys.stdout.isatty() else Look(width=shutil.get_terminal_size().columns)
    if not found:
        yield "the document expects no outcomes, and no playbook has a journey to make"
    for outcome in found:
        yield from outcome_lines(outcome, run, look)


def _tell(event: Event) -> None:
    """Show on a terminal which check is running, since a journey takes seconds, and anywhere what is to be known."""
    from stepflow.events import Notice, Waiting  # noqa: PLC0415 - keeps `--help` quick

    if isinstance(event, Notice):
        sys.stderr.write(f"hint: {event.message}\n")
    if isinstance(event, Waiting) and not event.answer and sys.stderr.isatty():
        sys.stderr.write(f"{event.waiting_for} ...\n")
