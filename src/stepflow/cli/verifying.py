"""What `verify` does: look at the platform, make the journeys, say what they found."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from shutil import get_terminal_size

from stepflow.cli import places
from stepflow.cli.reporters.summary import PLAIN, Look, outcome_lines
from stepflow.engine import Platform, past, survey, verify
from stepflow.errors import StepflowError
from stepflow.events import Event, Outcome, Waiting


async def outcomes(platform: Platform, run: int) -> tuple[Outcome, ...]:
    """Answer the expected outcomes. Raises `StepflowError` when the platform is not as its last run left it."""
    name = platform.site.platform
    with places.journal(name) as journal:
        found = await survey(platform, past(journal, platform.site.out))
    left = [step for step in found.plan.steps if step.action != "reuse"]
    if left:
        said = f"step {left[0].facts.number} ({left[0].facts.title}): {'; '.join(left[0].reasons)}"
        raise StepflowError(f"`{name}` is not as the document says: {said}", hint=f"`{places.say('resume', name)}`")
    expected = [text.value for text in platform.workflow.outcomes]
    return await verify(found.wanted.values(), found.live, expected, run, _tell)


def lines(found: Sequence[Outcome], run: int, *, verbose: bool = False) -> Iterator[str]:
    """Format the outcomes as text; on a terminal, unless `verbose`, evidence is cut to two lines."""
    look = PLAIN if verbose or not sys.stdout.isatty() else Look(width=get_terminal_size().columns)
    if not found:
        yield "the document expects no outcomes, and no playbook has a journey to make"
    for outcome in found:
        yield from outcome_lines(outcome, run, look)


def _tell(event: Event) -> None:
    """Show on a terminal which check is running, since a journey takes seconds."""
    if isinstance(event, Waiting) and not event.answer and sys.stderr.isatty():
        sys.stderr.write(f"{event.waiting_for} ...\n")
