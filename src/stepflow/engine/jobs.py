"""Runs the jobs of a step: each a command under a guard, with what the step takes and a place for what it hands off."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepflow.engine.guards import Guard, GuardKilledError
from stepflow.engine.leftovers import end_leftovers
from stepflow.engine.output import JobOutput
from stepflow.engine.written import read_written
from stepflow.errors import PermanentError, TemporaryError
from stepflow.handoff import Handoff
from stepflow.workload import Job

HANDOFF, HANDOFFS = "STEPFLOW_HANDOFF", "STEPFLOW_HANDOFFS"


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The files of the jobs of one attempt, and of those that continue it: `FOLDER/KEY-FINGERPRINT.…`."""

    folder: Path
    name: str

    @property
    def taken(self) -> Path:
        """The path of the handoffs that the step takes: `$STEPFLOW_HANDOFFS`."""
        return self.folder / f"{self.name}.handoffs.json"

    def result(self, index: int) -> Path:
        """Return the path of a job's exit code."""
        return self.folder / f"{self.name}.{index}.code"

    def written(self, index: int) -> Path:
        """Return the path that a job gets as `$STEPFLOW_HANDOFF`."""
        return self.folder / f"{self.name}.{index}.handoff.json"

    def finished(self, index: int) -> bool:
        """Return whether a job has succeeded already: the engine may have died before it could record that."""
        try:
            return self.result(index).read_text(encoding="ascii") == "0"
        except OSError:
            return False

    def remove(self, jobs: int) -> None:
        """Remove them all."""
        for index in range(jobs):
            self.result(index).unlink(missing_ok=True)
            self.written(index).unlink(missing_ok=True)
        self.taken.unlink(missing_ok=True)

    def take_over(self, left: list[Path]) -> None:
        """Take over what version 0.1.0 left: it had a folder for each step."""
        for folder in (path for path in left if path.name == self.name and path.is_dir()):
            for file in folder.iterdir():
                file.rename(self.folder / f"{self.name}.{file.name}")


def left_files(folder: Path) -> dict[int, list[Path]]:
    """Return what earlier runs left in the folder of jobs, by the key of its step."""
    left: dict[int, list[Path]] = defaultdict(list)
    if folder.is_dir():
        for path in folder.iterdir():
            key = path.name.partition("-")[0]
            left[int(key) if key.isdecimal() else 0].append(path)
    return left


def remove_files(left: list[Path], keep: str = "") -> None:
    """Remove what was left, but for the files of that name."""
    for path in left:
        if not (keep and path.name.startswith(f"{keep}.")):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def write_taken(handoffs: Mapping[int, Handoff], files: JobFiles) -> None:
    """Write the handoffs that a step takes to where its jobs read them."""
    files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what steps hand off may be a secret
    taken = {str(number): each.model_dump(mode="json") for number, each in handoffs.items()}
    files.taken.write_text(json.dumps(taken, indent=2), encoding="utf-8")


async def run_job(job: Job, index: int, files: JobFiles, guard: Guard, output: JobOutput) -> Mapping[str, Any] | None:
    """Run a job, unless its exit code 0 is on record, and return what it wrote to its handoff.

    Raises `TemporaryError` when it fails or takes longer than its timeout (the caller counts the retries), and
    `PermanentError` when it was killed together with its guard, or wrote something else than one JSON object.
    """
    written = files.written(index)
    if not files.finished(index):
        files.result(index).unlink(missing_ok=True)
        written.unlink(missing_ok=True)
        variables = {**job.env, HANDOFFS: str(files.taken), HANDOFF: str(written)}
        try:
            async with asyncio.timeout(job.timeout):
                code = await guard.run(job.command, variables, files.result(index), output.hear)
        except asyncio.CancelledError:
            guard.tell("record")  # it may have succeeded in its grace
            raise
        except TimeoutError as error:
            guard.tell("forget")
            hint = "give it longer with the field `Timeout`, or make it faster"
            raise TemporaryError(f"timeout: `{job.name}` ran for {job.timeout:g} s", hint=hint) from error
        except GuardKilledError as error:
            await end_leftovers(f"{HANDOFF}={written}", grace=0)
            raise PermanentError(f"`{job.name}` was killed from outside") from error
        if code:
            ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise TemporaryError(f"`{job.name}` {ended}")
    return read_written(written, job.name)
