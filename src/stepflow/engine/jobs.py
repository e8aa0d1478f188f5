"""Runs the jobs of a step: each a command under a guard, with what the step takes and a place for what it hands off."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepflow.engine.guards import Guard, GuardKilledError
from stepflow.engine.handed import shown
from stepflow.engine.leftovers import end_leftovers
from stepflow.engine.output import JobOutput
from stepflow.engine.written import read_written
from stepflow.errors import PermanentError, TemporaryError
from stepflow.handoff import Handoff
from stepflow.large import dumped
from stepflow.workload import Job

HANDOFF, HANDOFFS = "STEPFLOW_HANDOFF", "STEPFLOW_HANDOFFS"


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The files of the jobs of one attempt, and of those that continue it: `FOLDER/KEY-FINGERPRINT.…`."""

    folder: Path
    name: str
    continued: bool = False  # an attempt that was cut off may have left some

    def result(self, index: int) -> Path:
        """Return the path of a job's exit code."""
        return self.folder / f"{self.name}.{index}.code"

    def written(self, index: int) -> Path:
        """Return the path that a job gets as `$STEPFLOW_HANDOFF`."""
        return self.folder / f"{self.name}.{index}.handoff.json"

    def finished(self, index: int) -> bool:
        """Return whether a job has succeeded already: the engine may have died before it could record that."""
        try:
            return self.continued and self.result(index).read_text(encoding="ascii") == "0"
        except OSError:
            return False

    def remove(self, index: int) -> None:
        """Remove what there is of a job."""
        self.written(index).unlink(missing_ok=True)
        if self.continued:
            self.result(index).unlink(missing_ok=True)

    def take_over(self, left: list[Path]) -> None:
        """Take over what version 0.1.0 left: it had a folder for each step."""
        for folder in (path for path in left if path.name == self.name and path.is_dir()):
            for file in folder.iterdir():
                file.rename(self.folder / f"{self.name}.{file.name}")


def left_files(folder: Path) -> dict[int, list[Path]]:
    """Return what earlier runs left in the folder of jobs, by the key of its step; -1 for what is of none."""
    left: dict[int, list[Path]] = defaultdict(list)
    if folder.is_dir():
        for path in folder.iterdir():
            key = path.name.partition("-")[0]
            left[int(key) if key.isdecimal() else -1].append(path)
    return left


def remove_files(left: list[Path], keep: str = "") -> None:
    """Remove what was left, but for the files of that name."""
    for path in left:
        if not (keep and path.name.startswith(f"{keep}.")):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


class TakenFiles:
    """The handoffs that steps take, in files that their jobs read: one for all steps that take the same."""

    def __init__(self, folder: Path) -> None:
        """Prepare; what is written goes into this folder."""
        self._folder = folder
        self._written: dict[str, tuple[Path, set[str]]] = {}

    def write(self, handoffs: Mapping[int, Handoff]) -> tuple[Path, set[str]]:
        """Write the handoffs that a step takes, and return the file and the secrets in them."""
        secrets: set[str] = set()
        taken = {str(number): dumped(each) for number, each in handoffs.items()}
        text = json.dumps(shown(taken, self._folder.parent, secrets), indent=2).encode()
        digest = hashlib.sha256(text).hexdigest()[:16]
        if digest not in self._written:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what steps hand off may be a secret
            path = self._folder / f"taken-{digest}.json"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
            self._written[digest] = path, secrets
        return self._written[digest]

    def remove(self) -> None:
        """Remove all that was written."""
        remove_files([path for path, _ in self._written.values()])


async def run_job(
    job: Job, index: int, variables: Mapping[str, str], files: JobFiles, *, guard: Guard, output: JobOutput
) -> dict[str, Any] | None:
    """Run a job, unless its exit code 0 is on record, and return what it wrote to its handoff.

    `variables` are added to those of this process. Raises `TemporaryError` when it fails or takes longer than its
    timeout (the caller counts the retries), and `PermanentError` when it was killed together with its guard, or wrote
    something else than one JSON object with all that it promises.
    """
    written = files.written(index)
    if not files.finished(index):
        if files.continued:
            files.remove(index)
        try:
            await _execute(job, {**job.env, **variables, HANDOFF: str(written)}, files.result(index), guard, output)
        except TemporaryError:  # what a command wrote that failed does not count
            files.remove(index)
            raise
    value = read_written(written, job.name)
    if missing := [f"`{name}`" for name in job.gives if name not in (value or {})]:
        problem = f"`{job.name}` ended without {' and '.join(missing)}, which the field `Gives` promises"
        raise PermanentError(problem, hint="write it to `$STEPFLOW_HANDOFF`, or correct the field `Gives`")
    return value


async def _execute(job: Job, variables: Mapping[str, str], result: Path, guard: Guard, output: JobOutput) -> None:
    try:
        async with asyncio.timeout(job.timeout):
            code = await guard.run(job.command, variables, result, output.hear)
    except asyncio.CancelledError:
        guard.tell("record")  # it may have succeeded in its grace
        raise
    except TimeoutError as error:
        guard.tell("forget")
        hint = "give it longer with the field `Timeout`, or make it faster"
        raise TemporaryError(f"timeout: `{job.name}` ran for {job.timeout:g} s", hint=hint) from error
    except GuardKilledError as error:
        await end_leftovers(f"{HANDOFF}={variables[HANDOFF]}", grace=0)
        raise PermanentError(f"`{job.name}` was killed from outside") from error
    if code:
        guard.tell("forget")
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise TemporaryError(f"`{job.name}` {ended}")
