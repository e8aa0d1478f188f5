"""The guards of a run: processes that run its commands, each one at a time, and that end with the engine (`guard.py`).

A guard lives as long as the run: starting one costs a Python interpreter, and a command through it little more than the
command itself.
"""

from __future__ import annotations

import asyncio
import marshal
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from stepflow.engine.uncancelled import to_its_end

GRACE = 5.0  # seconds from SIGTERM to SIGKILL
_SCRIPT = Path(__file__).with_name("guard.py")
_CHUNK = 65536  # bytes read at once
_LONGEST_CODE = 8  # bytes behind a mark: a blank, an exit code, a line end

Heard = Callable[[bytes], object]


class GuardKilledError(Exception):
    """A guard was killed, and could not end its command."""


class Guards:
    """Lends guards to those who run commands; starts another one when none is free."""

    def __init__(self, lock: int = -1, grace: float = GRACE) -> None:
        """Prepare; `lock` is an open file that each guard holds for as long as it lives."""
        self._lock, self._grace = lock, grace
        self._free: list[Guard] = []

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Guard]:
        """Lend a guard; how its commands ended has to be recorded when it is given back. Raises `OSError`."""
        guard = self._free.pop() if self._free else await Guard.started(self._lock, self._grace)
        try:
            yield guard
        finally:
            guard.tell("forget")
            if guard.alive:
                self._free.append(guard)
            else:
                await guard.close()

    async def close(self) -> None:
        """End all guards, which are free now, and wait until they are gone."""
        await asyncio.gather(*(guard.close() for guard in self._free))
        self._free.clear()


class Guard:
    """A process that runs one command at a time."""

    def __init__(self, process: asyncio.subprocess.Process, writing: int, reading: int) -> None:
        """Take over its pipes: the one that it is told by what to do, and the one of all output."""
        self._process, self._writing, self._reading = process, writing, reading
        self._mark = b"\0" + secrets.token_hex(16).encode()
        self._heard: Heard = bytes.__len__
        self._rest = b""  # of the output, which may be the beginning of a mark
        self._over: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        os.set_blocking(reading, False)
        asyncio.get_running_loop().add_reader(reading, self._read)
        self._exit = asyncio.ensure_future(process.wait())
        self._exit.add_done_callback(self._killed)

    @classmethod
    async def started(cls, lock: int, grace: float) -> Guard:
        """Start one. Raises `OSError` when that cannot be done."""
        pipes: list[int] = []
        try:
            pipes += os.pipe()
            pipes += os.pipe()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(_SCRIPT), str(grace), str(lock),
                stdin=pipes[0],
                stdout=pipes[3],
                stderr=subprocess.STDOUT,
                start_new_session=True,  # what ends the engine's session is not for it
                pass_fds=(lock,) if lock >= 0 else (),
            )  # fmt: skip
        except OSError:
            for each in pipes:
                os.close(each)
            raise
        os.close(pipes[0])
        os.close(pipes[3])
        return cls(process, pipes[1], pipes[2])

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return not self._exit.done()

    async def run(self, command: Sequence[str], variables: Mapping[str, str], result: Path, heard: Heard) -> int:
        """Run a command to its end, hand its output to `heard` as it comes, and return its exit code.

        `result` is where the exit code is written if the engine cannot record it. A command that is stopped, by
        cancelling, gets SIGTERM and `GRACE` seconds later SIGKILL, and `CancelledError` is raised when nothing of it is
        left. Raises `GuardKilledError` when the guard is gone.
        """
        self._heard, self._over = heard, asyncio.get_running_loop().create_future()
        self.tell("run", tuple(command), dict(variables), str(result), self._mark)
        try:
            code = await asyncio.shield(self._over)
        except asyncio.CancelledError:
            self.tell("stop")
            await to_its_end(self._over)
            raise
        if code is None:  # it was asked to end by a signal from outside
            raise GuardKilledError
        return code

    def tell(self, what: str, *more: str | bytes | tuple[str, ...] | dict[str, str]) -> None:
        """Send it a message (`guard.py`); one that is gone gets none."""
        data = marshal.dumps((what, *more))
        data = len(data).to_bytes(4, "big") + data
        with suppress(BrokenPipeError):
            while data:
                data = data[os.write(self._writing, data) :]

    async def close(self) -> None:
        """End it, and wait until it is gone."""
        os.close(self._writing)
        await to_its_end(self._exit)
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self._reading)

    def _read(self) -> None:
        """Read output up to the mark behind it, and hand it on."""
        try:
            chunk = os.read(self._reading, _CHUNK)
        except BlockingIOError:
            return
        if not chunk:
            asyncio.get_running_loop().remove_reader(self._reading)
        text = self._rest + chunk
        at = text.find(self._mark, max(0, len(text) - len(self._mark) - _LONGEST_CODE))
        over = at >= 0 and text.endswith(b"\n")
        if at < 0:  # a mark may have begun
            begun = text.rfind(self._mark[:1], max(0, len(text) - len(self._mark)))
            at = begun if chunk and begun >= 0 else len(text)
        self._rest = b"" if over else text[at:]
        if at:
            self._heard(text[:at])
        if over and not self._over.done():
            code = text[at + len(self._mark) :].strip()
            self._over.set_result(int(code) if code else None)

    def _killed(self, exited: asyncio.Future[int]) -> None:
        del exited
        if not self._over.done():
            self._over.set_exception(GuardKilledError())
            self._over.exception()  # marks it as seen: no command may be running
