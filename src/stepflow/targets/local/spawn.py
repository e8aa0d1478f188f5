"""Starting a process that cannot outlive its parent unseen."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def spawn(
    command: tuple[str, ...], *, env: Mapping[str, str], cwd: str, log: str, stop: int, account: int | None
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, writing to the end of its log.

    On Linux it gets the signal `stop` when this thread dies. Raises `OSError` when it cannot be started.
    """
    parent = os.getpid()

    def guard() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):  # a shell that starts us with `&` has SIGINT ignored
            signal.signal(number, signal.SIG_DFL)
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, stop)
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
