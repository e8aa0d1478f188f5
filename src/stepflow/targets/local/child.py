"""One process under supervision: started, watched, restarted, stopped."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from subprocess import Popen

from stepflow.targets.envoy import drain
from stepflow.targets.local.logs import size
from stepflow.targets.local.probe import ask
from stepflow.targets.local.processes import spawn, started, sweep
from stepflow.targets.local.spec import Preparation, Probe, Process, ProcessStatus

STEADY = 2.0  # seconds between readiness probes of a process that is ready
LIFE = 3.0  # seconds between two liveness probes
STABLE = 10.0  # seconds after which a process that runs is no longer counted as crashing
SLOWEST = 10.0  # seconds, the longest back-off
LOOP = 5  # exits in a row that are called a crash loop
MISSES = 3  # unanswered liveness probes in a row after which a process is ended


def pause(exits: int) -> float:
    """Return the seconds to wait before restarting a process that ended this often in a row."""
    return min(SLOWEST, 0.1 * 2.0 ** min(exits - 1, 16))


class Child:
    """Keeps one process running until `stop`; calls `changed` after every change of its `status`."""

    def __init__(
        self, process: Process, before: ProcessStatus | None, ready: Callable[[str], bool], changed: Callable[[], None]
    ) -> None:
        self.process = process
        known = before if before and before.stamp == process.stamp else ProcessStatus(process.stamp)
        self.status = replace(known, state="starting", pid=0, started="", detail="")
        self._ready = ready
        self._changed = changed
        self._running: Popen[bytes] | None = None
        self._exited = asyncio.Event()
        self._stopping = False
        self._up = False  # it was ready since it was last started
        self._task = asyncio.create_task(self._keep())

    def becomes(self, process: Process | None) -> bool:
        """Take over a definition that means the same process; False when it takes another process."""
        if process is None or process.stamp != self.status.stamp:
            return False
        self.process = process
        return True

    def look(self) -> None:
        """Notice an exit; called upon SIGCHLD. What is left of the group is killed while its id is still ours."""
        if self._running is None or self._exited.is_set():
            return
        pid = self._running.pid
        if hasattr(os, "waitid"):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return
            sweep(pid)
        if self._running.poll() is not None:
            sweep(pid) if not hasattr(os, "waitid") else None
            self._exited.set()

    async def stop(self) -> None:
        """Drain, ask to end, and after the grace kill; returns when nothing of it is left."""
        self._stopping = True
        if self._running is not None and not self._exited.is_set():
            if self.process.drain is not None:
                await drain(self.process.drain, self.process.grace)
            await self._end()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _end(self) -> None:
        assert self._running is not None
        self._signal(self.process.stop)
        try:
            async with asyncio.timeout(self.process.grace):
                await self._exited.wait()
        except TimeoutError:
            sweep(self._running.pid)
            await self._exited.wait()

    def _signal(self, number: int) -> None:
        if self._running is not None and not self._exited.is_set():
            with suppress(ProcessLookupError):
                os.kill(self._running.pid, number)

    def _note(self, **changes: object) -> None:
        status = replace(self.status, **changes)  # type: ignore[arg-type]
        if status != self.status:
            self.status = status
            self._changed()

    async def _keep(self) -> None:
        for owner in self.process.after:
            while not self._ready(owner):
                self._note(detail=f"waits for `{owner}`")
                await asyncio.sleep(0.05)
        try:
            if self.process.preparation and not await self._prepare(self.process.preparation):
                return
            while True:
                if not await self._once():
                    return
                await asyncio.sleep(pause(self.status.exits))
        except Exception as error:  # noqa: BLE001 - whatever it is, this process does not run, and that has to be seen
            self._note(state="failed", pid=0, detail=f"cannot be started: {error}")

    async def _once(self) -> bool:
        """Run it to its end; return whether to restart it."""
        begun = asyncio.get_running_loop().time()
        self._start(self.process.command)
        watching = [asyncio.create_task(self._watch())]
        if self.process.live is not None:
            watching.append(asyncio.create_task(self._check_life(self.process.live)))
        await self._exited.wait()
        for task in watching:
            task.cancel()
        if self._stopping:
            return False
        how = self._how()
        if not self.status.proven:
            self._note(state="failed", pid=0, detail=f"{how} before it was ready")
            return False
        exits = 1 if asyncio.get_running_loop().time() - begun >= STABLE else self.status.exits + 1
        detail = f"crash loop: {how}, {exits} times in a row" if exits >= LOOP else how
        state = "failed" if exits >= LOOP else "starting"
        self._note(state=state, pid=0, detail=detail, exits=exits, restarts=self.status.restarts + 1)
        return True

    def _start(self, command: tuple[str, ...]) -> None:
        process = self.process
        self._up = False
        offset = size(Path(process.log))
        running = spawn(
            command, env=process.env, cwd=process.cwd, log=process.log, stop=process.stop, account=process.account
        )
        self._running = running  # only now: the one before has ended, and its pid may be another's
        self._exited.clear()
        state = "failed" if self.status.exits >= LOOP else "starting"
        pid = self._running.pid
        self._note(state=state, pid=pid, started=started(pid), offset=offset)
        self.look()

    async def _watch(self) -> None:
        """Probe whether it is ready: often until it is, then at intervals."""
        probe = self.process.ready
        begun = asyncio.get_running_loop().time()
        while True:
            ok, text = await ask(probe)
            if ok:
                self._up = True
                self._note(state="ready", detail=text, proven=True)
                if asyncio.get_running_loop().time() - begun >= STABLE:
                    self._note(exits=0)
            else:
                self._note(state="starting" if self.status.state == "ready" else self.status.state, detail=text)
                if self.status.proven and not self._up and asyncio.get_running_loop().time() - begun > probe.deadline:
                    await self._end()  # it hangs; a first start is judged by the command that waits for it
            await asyncio.sleep(STEADY if ok else probe.interval)

    async def _check_life(self, probe: Probe) -> None:
        """End a process that was ready and no longer answers its liveness probe; leave it alone while it starts."""
        misses = 0
        while misses < MISSES:
            await asyncio.sleep(max(LIFE, probe.interval))
            if self._up:
                misses = 0 if (await ask(probe)).ok else misses + 1
        await self._end()

    async def _prepare(self, preparation: Preparation) -> bool:
        """Make the directory that the process needs, unless it exists; return whether it exists now."""
        temporary, final = Path(preparation.temporary), Path(preparation.final)
        if final.exists():  # noqa: ASYNC240 - one look at a local directory
            return True
        shutil.rmtree(temporary, ignore_errors=True)
        self._start(preparation.command)
        self._note(detail="prepares its data")
        await self._exited.wait()
        if self._stopping:
            return False
        assert self._running is not None
        if self._running.returncode != 0:
            self._note(state="failed", pid=0, detail=f"{self._how()} while it prepared its data")
            return False
        temporary.rename(final)  # noqa: ASYNC240 - likewise
        return True

    def _how(self) -> str:
        assert self._running is not None
        code = self._running.returncode
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
