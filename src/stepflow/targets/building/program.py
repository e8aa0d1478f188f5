"""Programs that prepare an image on the host (pip, uv): their output goes into the image's log."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stepflow.errors import PermanentError

_AWAY = (  # what pip and uv say when they cannot reach an index
    "connection refused",
    "connection reset",
    "failed to establish a new connection",
    "name or service not known",
    "temporary failure in name resolution",
    "failed to resolve",
    "dns error",
    "failed to lookup address",
    "no route to host",
    "network is unreachable",
    "timed out",
    "cannot connect to proxy",
    "error sending request",
    "certificate verify failed",
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and what it said."""

    code: int
    lines: tuple[str, ...]

    @property
    def unreachable(self) -> str:
        """Return the first line that tells of an index that could not be reached, "" when none does."""
        return away(self.lines)

    def last(self, count: int = 12) -> str:
        """Return the last lines that are not blank."""
        return "\n".join([line for line in self.lines if line.strip()][-count:])


def away(lines: Iterable[str]) -> str:
    """Return the first line that tells of a network that was not there, "" when none does."""
    return next((line.strip() for line in lines if any(sign in line.lower() for sign in _AWAY)), "")


async def run(log: Path, command: Sequence[str], *, cwd: Path, seconds: float) -> Ended:
    """Run a program to its end; it is killed when the wait for it is cancelled.

    Raises `PermanentError` when it takes longer than that.
    """
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
    pipe, joined = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    running = await asyncio.create_subprocess_exec(*command, cwd=cwd, env=env, stdout=pipe, stderr=joined)
    try:
        async with asyncio.timeout(seconds):
            output, _ = await running.communicate()
    except TimeoutError as error:
        raise PermanentError(f"`{_named(command)}` was not done within {seconds:g} s", log=str(log)) from error
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    text = output.decode(errors="replace")
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{_named(command)}\n{text}")
    return Ended(running.returncode or 0, tuple(text.splitlines()))


def _named(command: Sequence[str]) -> str:
    """Return a program's name as people type it: without its interpreter and its arguments."""
    words = list(command[2:]) if command[1:2] == ["-m"] else [Path(command[0]).name, *command[1:]]
    return " ".join(word for word in words[:3] if not word.startswith("-"))
