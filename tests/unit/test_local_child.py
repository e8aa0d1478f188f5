"""One process under supervision, without a supervisor around it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from stepflow.targets.local import child as module
from stepflow.targets.local.child import Child
from stepflow.targets.local.layout import Layout
from stepflow.targets.local.ports import choose
from stepflow.targets.local.processes import started
from stepflow.targets.local.spec import Probe, Process, ProcessStatus

SLOW_START = (
    "import http.server, sys, time; time.sleep(1)\n"
    "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()\n"
)
Keep = Callable[..., Child]


@pytest.fixture
async def keep(tmp_path: Path) -> AsyncIterator[Keep]:
    """Keeps a Python program running; all are stopped in the end."""
    kept: list[Child] = []
    layout = Layout(tmp_path)
    layout.prepare()
    loop = asyncio.get_running_loop()

    def look() -> None:
        for each in kept:
            each.look()

    loop.add_signal_handler(signal.SIGCHLD, look)

    def make(program: str, before: ProcessStatus | None = None, **changes: Any) -> Child:  # noqa: ANN401 - as Process takes
        port = choose(layout, "x").number
        probe = Probe("http", port, "/", interval=0.02)
        values: dict[str, Any] = {
            "command": (sys.executable, "-c", program, str(port)),
            "env": {},
            "cwd": str(tmp_path),
            "log": str(tmp_path / "log"),
            "stamp": "s",
            "ready": probe,
            "live": probe,
            "grace": 5.0,
        }
        process = Process("x", "x", "workload", **{**values, **changes})
        kept.append(Child(process, before, lambda _: True, lambda: None))
        return kept[-1]

    yield make
    for each in kept:
        await asyncio.wait([asyncio.create_task(each.stop())], timeout=10)
    loop.remove_signal_handler(signal.SIGCHLD)


async def _until(child: Child, condition: Callable[[ProcessStatus], bool]) -> ProcessStatus:
    async with asyncio.timeout(60):
        while True:
            if condition(child.status):
                return child.status
            await asyncio.sleep(0.01)


async def test_a_slow_start_after_a_crash_is_not_taken_for_a_hanging_process(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIFE", 0.02)
    child = keep(SLOW_START, ProcessStatus("s", "ready", proven=True))
    status = await _until(child, lambda status: status.state == "ready")
    assert status.restarts == 0


async def test_one_that_hangs_at_a_restart_is_ended_after_its_deadline_and_started_again(
    keep: Keep,
) -> None:
    probe = Probe("http", 1, "/", interval=0.02, deadline=0.2)
    child = keep("import time; time.sleep(60)", ProcessStatus("s", "ready", proven=True), ready=probe, live=None)
    status = await _until(child, lambda status: status.restarts == 1)
    assert status.detail in {"ended by SIGTERM", "nothing listens on port 1"}


async def test_one_that_was_ready_before_and_ends_again_and_again_is_called_a_crash_loop_and_still_tried(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOWEST", 0.05)
    child = keep("raise SystemExit(4)", ProcessStatus("s", "ready", proven=True))
    status = await _until(child, lambda status: status.exits == module.LOOP)
    assert (status.state, status.detail) == ("failed", "crash loop: exited with code 4, 5 times in a row")
    assert (await _until(child, lambda status: status.exits > module.LOOP)).state == "failed"


def test_the_pauses_between_restarts_double_up_to_ten_seconds() -> None:
    assert [module.pause(exits) for exits in range(1, 10)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]
    assert module.pause(100_000) == 10


async def test_one_that_was_never_ready_is_not_started_again(keep: Keep) -> None:
    child = keep("raise SystemExit(4)")
    status = await _until(child, lambda status: status.state == "failed")
    assert (status.detail, status.restarts, status.pid) == ("exited with code 4 before it was ready", 0, 0)


async def test_a_program_that_cannot_be_started_says_so(keep: Keep) -> None:
    child = keep("", command=("/does/not/exist",))
    status = await _until(child, lambda status: status.state == "failed")
    assert status.detail == "cannot be started: [Errno 2] No such file or directory: '/does/not/exist'"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"A": "x\0y"}, "embedded null byte"),
        ({"A": 7}, "expected str, bytes or os.PathLike object, not int"),
        ({"A=B": "x"}, "illegal environment variable name"),
    ],
)
async def test_a_process_that_python_itself_refuses_to_start_says_so(keep: Keep, env: object, said: str) -> None:
    status = await _until(keep("", env=env), lambda status: status.state == "failed")
    assert status.detail == f"cannot be started: {said}"


async def test_one_whose_restart_cannot_be_started_says_why_and_is_stopped_without_a_signal_to_its_former_pid(
    keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    child = keep("import time; time.sleep(60)", ProcessStatus("s", "ready", proven=True), cwd=str(folder), live=None)
    pid = (await _until(child, lambda status: status.pid > 0)).pid
    folder.rmdir()
    os.kill(pid, signal.SIGKILL)
    status = await _until(child, lambda status: status.state == "failed")
    assert (status.pid, status.detail) == (0, f"cannot be started: [Errno 2] No such file or directory: '{folder}'")
    sent: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr(os, "kill", lambda number, _: sent.append(number))
        patched.setattr(os, "killpg", lambda number, _: sent.append(number))
        done, _ = await asyncio.wait([asyncio.create_task(child.stop())], timeout=10)
    assert (len(done), sent) == (1, [])


async def test_one_that_ignores_sigterm_is_killed_after_its_grace(keep: Keep) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLOW_START.replace(
        "sleep(1)", "sleep(0)"
    )
    child = keep(stubborn, grace=0.2)
    await _until(child, lambda status: status.state == "ready")
    async with asyncio.timeout(60):
        await child.stop()
    assert child._running is not None
    assert child._running.returncode == -signal.SIGKILL


async def test_what_a_process_left_behind_in_its_group_is_killed_with_it(keep: Keep, tmp_path: Path) -> None:
    program = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"
    child = keep(program)
    await _until(child, lambda status: status.state == "failed")
    orphan = int((tmp_path / "log").read_text())
    async with asyncio.timeout(60):
        while True:
            if not started(orphan):
                return
            await asyncio.sleep(0.01)
