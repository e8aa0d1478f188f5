"""Waiting for a container, always with a deadline, saying for what and what the last answer was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from stepflow.errors import PermanentError
from stepflow.targets import Progress
from stepflow.targets.docker.look import Found, look_at
from stepflow.targets.docker.platform import Platform
from stepflow.targets.docker.probe import ask
from stepflow.targets.engine.errors import RefusedError

_STEP = 0.1  # seconds between two looks
_STEP_INSIDE = 0.3  # likewise where each look is a command in the container
LINES = 15  # of the log that an error shows


class LateError(PermanentError):
    """A container runs, and is not ready in time."""


async def wait(platform: Platform, container: str, say: Callable[[Progress], None]) -> Found:
    """Wait until a container is ready; one of kind `setup`, until it has succeeded.

    Raises `PermanentError` with the last lines of its log when it ends instead, `LateError` when it takes longer than
    it may.
    """
    loop = asyncio.get_running_loop()
    began, said = loop.time(), ""
    while True:
        found = await look_at(platform.engine, platform.identity, container)
        if found is None:
            raise PermanentError("a container vanished while it was waited for", hint="who removed it? run again")
        answer, ready = await _answer(platform, found)
        if ready:
            return found
        if loop.time() - began > found.record.deadline:
            late = f"is not ready after {found.record.deadline:g} s; the last answer: {answer}"
            raise await failure(platform, found, late, LateError)
        if answer != said:
            said = answer
            say(Progress(f"`{found.instance}`", said))
        await asyncio.sleep(_STEP if found.record.ready else _STEP_INSIDE)


async def _answer(platform: Platform, found: Found) -> tuple[str, bool]:
    """Give what it says now and whether that is enough. Raises `PermanentError` when it ended."""
    setup = found.record.kind == "setup"
    if found.condition == "running":
        if setup:
            return "it works", False
        ok, text = (await ask(platform.engine, found))[:2]
        return text, ok
    if found.condition in {"exited", "dead"}:
        if setup and found.code == 0:
            return "it has done its work", True
        raise await failure(platform, found, found.ending)
    return f"it is {found.condition}", False


async def failure(
    platform: Platform, found: Found, what: str, kind: type[PermanentError] = PermanentError
) -> PermanentError:
    """Say what is wrong with a container, with the last lines that it wrote since it was started."""
    lines = [f"`{found.instance}` {what}"]
    written = await last_lines(platform, found)
    if written:
        lines += ["the last lines of its log:", *(f"  {line}" for line in written)]
    hint = f"`stepflow logs {found.record.owner}` shows all of it" if written else "it wrote nothing to its log"
    if found.out_of_memory:
        hint = f"give it more memory; {hint}"
    return kind("\n".join(lines), hint=hint)


async def last_lines(platform: Platform, found: Found) -> list[str]:
    """Give the last lines that a container wrote since its last start; none when there are none to be had."""
    since = _seconds(found.started)
    try:
        text: bytes = await platform.engine.ask(lambda api: api.logs(found.id, tail=LINES, since=since))
    except RefusedError:
        return []
    return text.decode(errors="replace").splitlines()


def _seconds(stamp: str) -> float | None:
    """Read `2026-11-22T20:46:29.169524288Z`; None for a container that was never started."""
    if stamp.startswith("0001"):
        return None
    whole, _, fraction = stamp.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6] or 0}+00:00").timestamp()
