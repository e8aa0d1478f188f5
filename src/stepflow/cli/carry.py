"""What `run` and `resume` share: look, show the plan or carry it out under the lock, and say how it went."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection

from stepflow.cli.reporters import Reporter, choose
from stepflow.engine import Options, Past, Platform, carry_out, held, past, runs, survey
from stepflow.events import RunStatus
from stepflow.journal import Journal

EXIT_CODES = {"succeeded": 0, "failed": 1, "interrupted": 130}


def show_plan(platform: Platform, forced: Collection[int] = ()) -> int:
    """Print what a run would do; changes nothing, not even the state directory."""
    path = platform.site.state / "journal.db"
    known = Past()
    if path.exists():
        with Journal(path, read_only=True) as journal:
            known = past(journal, platform.site.out)
    found = asyncio.run(survey(platform, known, forced=forced))
    sys.stdout.write(str(found.plan))
    return 0


def carry(
    platform: Platform, options: Options, *, forced: Collection[int] = (), json: bool = False, show: bool = False
) -> int:
    """Carry the plan out and give the exit code. `show` prints the plan first."""
    with held(platform.site.state), Journal(platform.site.state / "journal.db") as journal:
        reporter = choose(json=json, show_plan=show)
        return EXIT_CODES[asyncio.run(_carry(platform, journal, options, forced, reporter))]


async def _carry(
    platform: Platform, journal: Journal, options: Options, forced: Collection[int], reporter: Reporter
) -> RunStatus:
    found = await survey(platform, past(journal, platform.site.out), forced=forced)
    before = next(iter(runs(journal)), None)
    with reporter:
        return await carry_out(found, journal, options, reporter, before)
