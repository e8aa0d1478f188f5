"""Runs one job so that it ends with the engine: `guard.py RESULT GRACE LOCK COMMAND...`, started as a session leader.

A script of its own, without imports from stepflow, so that it starts in milliseconds. Its standard input is a pipe
whose other end only the engine holds: when that closes, however the engine died, the job's whole process group gets
SIGTERM and, `GRACE` seconds later, SIGKILL. When the command ends by itself, or succeeds within that time, its exit
code is written durably to `RESULT` before the guard ends: an engine that comes back knows that the command must not
run again. Until then the guard has the lock on the job's folder, the inherited file `LOCK`, which the engine waits for.
"""

import os
import select
import signal
import sys
import time


def main() -> None:
    """Run the command, and leave nothing of it behind."""
    result, grace, lock, command = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    os.set_inheritable(lock, False)  # noqa: FBT003 - what the command leaves behind must not hold it
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else _pipe()
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    try:
        code = _wait(_spawn(command), reader, grace)
        if code is not None:
            _record(result, code)
    finally:
        os.killpg(0, signal.SIGKILL)


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return reader, writer


def _spawn(command: list[str]) -> int:
    """Start the command in this process group; 0 when there is no such program."""
    defaults = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE)
    no_input = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    try:
        return os.posix_spawnp(command[0], command, os.environ, file_actions=no_input, setsigdef=defaults)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.stderr.flush()
        return 0


def _wait(child: int, reader: int, grace: float) -> int | None:
    """Return the command's exit code, or None when it was asked to end and did not succeed before it did."""
    if not child:
        return 127
    deadline = None
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return None if deadline and status else os.waitstatus_to_exitcode(status)
        if deadline and time.monotonic() > deadline:
            return None
        watched = [reader] if deadline else [reader, 0]
        ready, _, _ = select.select(watched, [], [], 0.05 if deadline else None)
        told = os.read(reader, 64) if reader in ready else b""
        if not deadline and (0 in ready or set(told) - {signal.SIGCHLD}):
            deadline = time.monotonic() + grace
            os.killpg(0, signal.SIGTERM)


def _record(path: str, code: int) -> None:
    with open(f"{path}.new", "w") as file:  # noqa: PTH123 - importing pathlib would double the start-up time
        file.write(str(code))
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.new", path)  # noqa: PTH105 - likewise


if __name__ == "__main__":
    main()
