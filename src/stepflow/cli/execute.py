"""What `run`, `resume` and `plan` share: survey, print the plan or execute it under the lock, and report."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from shutil import get_terminal_size
from typing import TextIO

from stepflow.cli import INTERRUPTED
from stepflow.cli.failure import display_failed
from stepflow.cli.patience import notice, patiently
from stepflow.cli.reporters.display import Display, Reporter
from stepflow.cli.reporters.lines import Lines, Ndjson
from stepflow.cli.reporters.story import plan_lines
from stepflow.cli.state import say
from stepflow.cli.streams import PATIENCE, lasting
from stepflow.cli.terminal import TITLE
from stepflow.engine import (
    Options,
    Past,
    PastRun,
    Platform,
    Survey,
    carry_out,
    held,
    latest_run,
    make_key,
    past,
    prune,
    require,
    survey,
    to_prune,
)
from stepflow.errors import MachineError, StepflowError, UsageError
from stepflow.events import RunStatus
from stepflow.journal import Journal
from stepflow.targets import open_target, used_in

_DECISION = 14  # columns of a plan's line beside the title
_FILES, _FILES_PER_STEP = 48, 8  # open files that a run needs at most: for itself, and for each step at once
EXIT_CODES = {"succeeded": 0, "failed": 1, "interrupted": INTERRUPTED}


def steps_named(platform: Platform, given: Iterable[str]) -> tuple[int, ...]:
    """Return the numbers of steps that are named by number or id. Raises `UsageError` for one that there is not."""
    known = {str(each.step.number): each.step.number for each in platform.resolved}
    known |= {each.step.id: each.step.number for each in platform.resolved if each.step.id not in {"", *known}}
    for name in given:
        if name not in known:
            raise UsageError(f"there is no step {name}", hint=f"one of: {', '.join(known)}")
    return tuple(dict.fromkeys(known[name] for name in given))


def show_plan(platform: Platform, forced: Collection[int] = (), accepted: Collection[int] = ()) -> int:
    """Print what a run would do; changes nothing, not even the state directory."""
    path = platform.site.state / "journal.db"
    known, before = Past(), None
    if path.exists():
        with Journal(path, read_only=True) as journal:
            known, before = past(journal, platform.site.out), latest_run(journal)
    found, refusals = asyncio.run(_looked(platform, known, before, forced, accepted))
    titles = {step.facts.number: step.facts.title for step in found.plan.steps}
    sys.stdout.write(plan_lines(str(found.plan), titles, _room()))
    sys.stdout.flush()
    if found.unseen:
        sys.stderr.write(
            f"hint: planned from the last run's record; the target could not be inspected: {found.unseen}\n"
        )
    for refusal in refusals:
        sys.stderr.write(f"hint: a run would not start: {refusal.message}\n")
        sys.stderr.write(f"hint: {refusal.hint}\n" if refusal.hint else "")
    return 0


def _room() -> int:
    """Return how many characters of a title are shown in a plan."""
    return max(TITLE // 4, get_terminal_size().columns - _DECISION) if sys.stdout.isatty() else TITLE


async def _looked(
    platform: Platform, known: Past, before: PastRun | None, forced: Collection[int], accepted: Collection[int]
) -> tuple[Survey, list[StepflowError]]:
    """Return the survey, and the errors with which a run would be refused before its first step."""
    looking = survey(platform, known, forced=forced, accepted=accepted, blindly=True)
    found = await patiently(looking, platform.target)
    refusals = []
    for refuse in (_refuse_second(platform, known, before), *([] if found.unseen else [require(found)])):
        try:
            await refuse
        except StepflowError as error:
            refusals.append(error)
    return found, refusals


def execute(platform: Platform, options: Options, *, json: bool = False, show: bool = False) -> int:
    """Execute the plan and return the exit code, which is the run's, whatever becomes of stdout. `show` prints the plan
    first.
    """
    with lasting(sys.stdout, partial(_unshown, sys.stderr, platform.site.platform)) as (out, outlet):
        reporter = _reporter(out, json=json, show_plan=show)
        display = Display(reporter, lambda: outlet is not None and outlet.unread, display_failed)
        code = _carried_out(platform, options, display)
        if outlet:  # of a run that was interrupted nothing more is waited for
            outlet.drain(PATIENCE if code == INTERRUPTED else None)
    return code


def _carried_out(platform: Platform, options: Options, display: Display) -> int:
    state = platform.site.state
    fresh = not state.exists()
    with held(state, waiting=notice) as lock:
        began = False
        try:
            with Journal(state / "journal.db") as journal:
                try:
                    make_key(state)
                    code = EXIT_CODES[asyncio.run(_execute(platform, journal, _possible(options), display, lock))]
                finally:
                    began = True  # also where the journal cannot tell
                    began = bool(latest_run(journal))
                with suppress(StepflowError):  # the run is over; what stays is removed after the next
                    prune(journal, to_prune(journal, state))
                return code
        except (StepflowError, OSError, KeyboardInterrupt):
            if fresh and not began:  # other commands must not find a platform
                from stepflow.targets.wholefile import remove_folder  # noqa: PLC0415 - rarely needed

                remove_folder(state)
            raise


def _possible(options: Options) -> Options:
    """Return the options with as many steps at once as the machine allows files to be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _FILES + _FILES_PER_STEP * options.jobs
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return options
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    if soft == needed:
        return options
    if (jobs := (soft - _FILES) // _FILES_PER_STEP) < 1:
        problem = f"a run needs {_FILES + _FILES_PER_STEP} open files, and {soft} are allowed"
        raise MachineError(problem, hint=f"`ulimit -n {needed}`")
    notice(f"{jobs} of the {options.jobs} steps at once: {soft} open files are allowed (`ulimit -n {needed}` for all)")
    return replace(options, jobs=jobs)


def _unshown(messages: TextIO, name: str, error: OSError) -> None:
    """Report once that the run goes on unseen; not to `sys.stderr`, which a live view takes in."""
    why = (error.strerror or str(error)).lower()
    shows = f"`{say('runs', name)}` shows how it ends"
    messages.write(f"hint: stdout cannot be written any more ({why}); the run goes on, and {shows}\n")


def _reporter(out: TextIO, *, json: bool, show_plan: bool = False) -> Reporter:
    """Choose a reporter by where `out` goes. `show_plan` prints the plan first."""
    if json:
        return Ndjson(out)
    if out.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}:
        from stepflow.cli.reporters.live import LiveView  # noqa: PLC0415 - rich takes 40 ms, and only a terminal needs it

        return LiveView(out, show_plan=show_plan)
    return Lines(out, sys.stderr, show_plan=show_plan)


async def _execute(platform: Platform, journal: Journal, options: Options, display: Display, lock: int) -> RunStatus:
    before = latest_run(journal)
    known = past(journal, platform.site.out)
    await _refuse_second(platform, known, before)
    looking = survey(platform, known, forced=options.forced, accepted=options.accepted)
    found = await patiently(looking, platform.target)
    await patiently(require(found), platform.target)
    with display:
        return await carry_out(found, journal, options, display, before, lock=lock)


async def _refuse_second(platform: Platform, known: Past, before: PastRun | None) -> None:
    """Raise as `_refuse_beside` does, for each target that the platform may be on."""
    if before is None:  # without a record of runs, the folders of the state directory tell where it may be
        for there in used_in(platform.site.state):
            await _refuse_beside(platform, there, {})
    elif known.workloads:
        await _refuse_beside(platform, before.target, before.options)


async def _refuse_beside(platform: Platform, there: str, options: Mapping[str, str]) -> None:
    """Raise `UsageError` while something of the platform is on another target, where it ran before, and `MachineError`
    when that cannot be checked.
    """
    name = platform.site.platform
    if there == platform.target:
        return
    try:
        found = await patiently(open_target(there, replace(platform.site, options=options)).observe(), there)
    except MachineError as error:
        problem = f"`{name}` last ran on {there}, which cannot be reached to check: {error.message}"
        hint = f"fix that, then run `{say('down', name)}`, or give another `--name`"
        raise MachineError(problem, hint=hint) from error
    if found:
        second = f"running it on {platform.target} as well would create a second copy"
        hint = f"use `--target {there}`, run `{say('down', name)}` first, or give another `--name`"
        raise UsageError(f"`{name}` already runs on {there}; {second}", hint=hint)
