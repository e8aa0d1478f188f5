"""Runs the jobs of a step: each a command under a guard, its output in the step's log and reported line by line."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepflow.errors import PermanentError, TemporaryError
from stepflow.handoff import Handoff
from stepflow.workload import Job

GRACE = 5.0  # seconds from SIGTERM to SIGKILL
TAIL = 12  # lines of a log that a failure shows
_GUARD = Path(__file__).with_name("guard.py")
_CHUNK = 65536  # bytes, also the longest line that is reported as one
_PAUSE = 0.05  # seconds between two looks at a lock
_LINGER = 1.0  # seconds for the last output of a job that is over


@dataclass(frozen=True, slots=True)
class JobDir:
    """The directory of the jobs of one step, which holds results and handoffs, and the log."""

    path: Path
    log: Path
    tell: Callable[[str], None]  # called with each line of output

    def result(self, index: int) -> Path:
        """Return the path of a job's exit code."""
        return self.path / f"{index}.code"

    def written(self, index: int) -> Path:
        """Return the path that a job gets as `$STEPFLOW_HANDOFF`."""
        return self.path / f"{index}.handoff.json"


async def run_job(job: Job, index: int, handoffs: Mapping[int, Handoff], job_dir: JobDir) -> Mapping[str, Any] | None:
    """Run a job, unless its exit code 0 is on record, and return what it wrote to its handoff.

    Waits for the same job of a run that was killed. Raises `PermanentError` when it takes longer than its timeout or
    wrote something else than JSON, `TemporaryError` when it fails (the caller counts the retries).
    """
    job_dir.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # what steps hand off may be a secret
    job_dir.path.mkdir(exist_ok=True)
    async with locked(job_dir.path) as lock:
        if finished(job_dir, index):
            return _read(job, job_dir.written(index), job_dir.log)
        taken = {str(number): each.model_dump(mode="json") for number, each in handoffs.items()}
        job_dir.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        given = job_dir.path / "handoffs.json"
        given.write_text(json.dumps(taken, indent=2), encoding="utf-8")
        job_dir.written(index).unlink(missing_ok=True)
        variables = {
            "STEPFLOW_HANDOFFS": str(given.resolve()),
            "STEPFLOW_HANDOFF": str(job_dir.written(index).resolve()),
        }
        await _execute(job, index, job_dir, {**os.environ, **job.env, **variables}, lock)
    return _read(job, job_dir.written(index), job_dir.log)


@asynccontextmanager
async def locked(folder: Path) -> AsyncIterator[int]:
    """Hold the lock on a folder of jobs, once the guard of a run that was killed is gone: it has it until its job is
    over, for `GRACE` seconds at most.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _taken(lock):  # noqa: ASYNC110 - another process has it
            await asyncio.sleep(_PAUSE)
        yield lock
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def finished(job_dir: JobDir, index: int) -> bool:
    """Return whether a job has succeeded already: the engine may have died before it could record that."""
    return _code(job_dir.result(index)) == 0


def tail(log: Path | str, lines: int = TAIL) -> tuple[str, ...]:
    """Return the last lines of a log; none for a log that does not exist."""
    try:
        with Path(log).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _CHUNK))
            return tuple(file.read().decode(errors="replace").splitlines()[-lines:] if lines else ())
    except OSError:
        return ()


async def _execute(job: Job, index: int, job_dir: JobDir, environment: Mapping[str, str], lock: int) -> None:
    job_dir.result(index).unlink(missing_ok=True)
    async with _logged(job_dir) as output:
        guard = (str(_GUARD), str(job_dir.result(index)), str(GRACE), str(lock))
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", *guard, *job.command,
                stdin=asyncio.subprocess.PIPE,  # the lifeline: the guard sees it close when this process dies
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(lock,),  # the guard has it for as long as it lives, also when this process dies first
                env=environment,
            )  # fmt: skip
        finally:
            os.close(output)
        try:
            async with asyncio.timeout(job.timeout):
                await process.wait()
        except TimeoutError as error:
            await _stop(process)
            hint = "give it longer with the field `Timeout`, or make it faster"
            said = f"timeout: `{job.name}` ran for {job.timeout:g} s"
            raise PermanentError(said, hint=hint, log=str(job_dir.log)) from error
        except asyncio.CancelledError:
            await _stop(process)
            raise
    _judge(job, process.pid, _code(job_dir.result(index)), job_dir.log)


def _judge(job: Job, group: int, code: int | None, log: Path) -> None:
    if code is None:  # the guard was killed, and could not end its group
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        raise PermanentError(f"`{job.name}` was killed from outside", log=str(log))
    if code:
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise TemporaryError(f"`{job.name}` {ended}", log=str(log))


@asynccontextmanager
async def _logged(job_dir: JobDir) -> AsyncIterator[int]:
    """Yield the writing end of a pipe; what comes out of the other end goes into the log and to `tell`.

    A process that left the job's group may hold it open for ever, so the wait after the end of the job is short.
    """
    reader = asyncio.StreamReader()
    reading, writing = os.pipe()
    connect = asyncio.get_running_loop().connect_read_pipe
    transport, _ = await connect(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", buffering=0))
    copying = asyncio.create_task(_copy(reader, job_dir))
    try:
        yield writing
        await asyncio.wait([copying], timeout=_LINGER)
    finally:
        transport.close()
        await copying


async def _copy(output: asyncio.StreamReader, job_dir: JobDir) -> None:
    """Copy the output to the log, and report its lines."""
    rest = b""
    descriptor = os.open(job_dir.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab", buffering=0) as log:
        while chunk := await output.read(_CHUNK):
            log.write(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _CHUNK:
                lines, rest = [*lines, rest], b""
            for line in lines:
                job_dir.tell(line.decode(errors="replace"))
    if rest:
        job_dir.tell(rest.decode(errors="replace"))


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the job's process group, and ensure that it is gone even when this task is cancelled again."""
    if process.returncode is None:
        process.terminate()
    waiter = asyncio.ensure_future(process.wait())
    while not waiter.done():
        try:
            await asyncio.shield(waiter)
        except asyncio.CancelledError:
            continue


def _code(result: Path) -> int | None:
    try:
        return int(result.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None


def _read(job: Job, path: Path, log: Path) -> Mapping[str, Any] | None:
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is not text, escaped or not
    except ValueError as error:
        hint = 'write one JSON object, for example `jq -n \'{version: "1.2"}\' > "$STEPFLOW_HANDOFF"`'
        problem = f"`{job.name}` wrote no JSON to `$STEPFLOW_HANDOFF`: {error}"
        raise PermanentError(problem, hint=hint, log=str(log)) from error
    if not isinstance(value, dict):
        problem = f"`{job.name}` wrote a {type(value).__name__} to `$STEPFLOW_HANDOFF`, where an object is needed"
        raise PermanentError(problem, hint='write one JSON object: `{"key": ...}`', log=str(log))
    return value
