"""Processes of this machine: started so that none outlives its parent unseen, and known by pid and start time.

A pid may be given to another process, a pid with its start time may not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctypes import CDLL

_STATE, _START = 0, 19  # fields of /proc/<pid>/stat after the command's closing bracket (proc(5): 3 and 22)
_PR_SET_PDEATHSIG = 1


def spawn(
    command: tuple[str, ...], *, env: Mapping[str, str], cwd: str, log: str, stop: int, account: int | None
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, writing to the end of its log.

    On Linux it gets the signal `stop` when this thread dies. Raises `OSError` when it cannot be started.
    """
    parent, libc = os.getpid(), _libc()

    def guard() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):  # a shell that starts us with `&` has SIGINT ignored
            signal.signal(number, signal.SIG_DFL)
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, stop)
        if os.getppid() != parent:
            os._exit(1)

    other = {} if account is None else {"user": account, "group": account, "extra_groups": []}
    with Path(log).open("ab") as output:
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=guard,  # noqa: PLW1509 - the supervisor has one thread
            **other,
        )


@cache
def _libc() -> CDLL | None:
    """Load the C library, where it has `prctl`; before a fork, since the child must not import anything."""
    if sys.platform != "linux":
        return None
    from ctypes import CDLL  # noqa: PLC0415 - only the supervisor starts processes

    return CDLL(None)


def started(pid: int) -> str:
    """Return the start time of a living process as an opaque text; "" when there is none (a zombie counts as none)."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "" if fields[_STATE] in "ZX" else fields[_START]
    import psutil  # noqa: PLC0415 - only where /proc does not say it

    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return str(process.create_time())
    return ""


def lives(pid: int, start: str) -> bool:
    """Return whether the process that had this pid and start time still runs."""
    return pid > 0 and start != "" and started(pid) == start


def folder_removed(pid: int, start: str, folder: str) -> bool:
    """Return whether this folder was removed while the process of this pid and start time worked in it.

    Only Linux says so.
    """
    if sys.platform != "linux" or not lives(pid, start):
        return False
    with suppress(OSError):
        return str(Path(f"/proc/{pid}/cwd").readlink()) == f"{folder} (deleted)"
    return False


def send(pid: int, start: str, number: int) -> None:
    """Signal the process that had this pid and start time, and no other."""
    if lives(pid, start):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def sweep(group: int) -> None:
    """Kill what is left of a process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
