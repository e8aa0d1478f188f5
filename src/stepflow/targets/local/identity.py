"""Which process a pid means: a pid may be given to another process, a pid with its start time may not."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

_STATE, _START = 0, 19  # fields of /proc/<pid>/stat after the command's closing bracket (proc(5): 3 and 22)


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


def send(pid: int, start: str, number: int) -> None:
    """Signal the process that had this pid and start time, and no other."""
    if lives(pid, start):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def sweep(group: int) -> None:
    """Kill what is left of a process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
