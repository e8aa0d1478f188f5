"""Guards run commands one after the other, and nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stepflow.engine import leftovers
from stepflow.engine.guards import GuardKilledError, Guards
from stepflow.engine.leftovers import end_leftovers
from stepflow.errors import MachineError

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows it")


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count is enough


async def run(guards: Guards, code: str, result: Path, heard: list[bytes]) -> int:
    async with guards.lent() as guard:
        return await guard.run(("bash", "-c", code), {"GIVEN": "given"}, result, heard.append)


async def test_commands_of_one_guard_keep_their_output_and_exit_codes_apart(tmp_path: Path) -> None:
    guards, result = Guards(), tmp_path / "code"
    first: list[bytes] = []
    second: list[bytes] = []
    assert await run(guards, "printf 'no line end: %s' $GIVEN; printf '\\0'; exit 3", result, first) == 3
    assert await run(guards, "printf '\\0\\n'", result, second) == 0
    assert (b"".join(first), b"".join(second)) == (b"no line end: given\0", b"\0\n")
    await guards.close()
    assert not result.exists()


async def test_program_that_is_not_there_ends_with_127_and_says_so(tmp_path: Path) -> None:
    guards, heard = Guards(), list[bytes]()
    async with guards.lent() as guard:
        assert await guard.run(("no-such-program",), {}, tmp_path / "code", heard.append) == 127
    assert b"".join(heard) == b"no-such-program: No such file or directory\n"
    await guards.close()


async def test_command_that_makes_its_output_not_wait_changes_nothing_for_the_next(tmp_path: Path) -> None:
    guards, heard = Guards(), list[bytes]()
    unblock = f"{sys.executable} -c 'import os; os.set_blocking(1, False)'"
    assert await run(guards, unblock, tmp_path / "code", heard) == 0
    assert await run(guards, "head -c 300000 /dev/zero", tmp_path / "code", heard) == 0
    assert len(b"".join(heard)) == 300_000
    await guards.close()


@linux
async def test_guard_that_is_killed_is_told_from_a_command_that_fails_and_leaves_no_open_file(tmp_path: Path) -> None:
    guards = Guards()
    before = open_files()
    with pytest.raises(GuardKilledError):
        await run(guards, "kill -9 $PPID", tmp_path / "code", [])
    assert open_files() == before
    assert await run(guards, "true", tmp_path / "code", []) == 0
    await guards.close()


async def test_exit_code_that_was_not_recorded_is_in_a_file_when_the_engine_is_gone(tmp_path: Path) -> None:
    guards, result = Guards(), tmp_path / "code"
    guard = await guards.lent().__aenter__()
    assert await guard.run(("true",), {}, result, [].append) == 0
    await guard.close()
    assert result.read_text() == "0"


@linux
def test_process_that_nothing_ends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_LONGEST", 0)
    monkeypatch.setattr(leftovers, "_signal", lambda *_: None)
    with subprocess.Popen(["sleep", "300"], env={"STEPFLOW_TEST_LEFT": "a/b"}) as process:
        expected = f"^process {process.pid} of a command of a run that was killed does not end$"
        with pytest.raises(MachineError, match=expected):
            asyncio.run(end_leftovers("STEPFLOW_TEST_LEFT=a/", grace=0))
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert asyncio.run(end_leftovers("STEPFLOW_TEST_LEFT=a/", grace=0)) == 0
