"""Runs jobs, one after the other, so that nothing of them outlives the engine: `guard.py GRACE LOCK`.

A script of its own, without imports from stepflow, so that it starts in milliseconds; `stepflow.engine.guards` is the
other end. Its standard input is a pipe whose other end only the engine holds, with messages from it: each four bytes of
length, and a tuple in the format of `marshal`.

    ("run", command, variables, result, mark)   run a command with these variables added
    ("stop",)                                   end what runs: SIGTERM, and `GRACE` seconds later SIGKILL
    ("forget",)                                 the engine has recorded how the commands ended
    ("record",)                                 it has not, and the files are to say so

Its standard output and error are a pipe to the engine, which the commands write to as well. Behind the last output of a
command the guard writes its mark, the exit code (none where it was stopped and did not succeed), and a line end.

When standard input closes, however the engine died, what runs is ended as if by `stop`, and what the engine has not
recorded goes into the files `result`, durably, so that an engine that comes back knows which commands must not run
again. Until then the guard holds the platform's lock, the inherited file `LOCK`.

A command is over when its first process is. What it started and left behind is killed then: its process group, and on
Linux, where the guard adopts orphans (PR_SET_CHILD_SUBREAPER, prctl(2)), also what has left the group.
"""

import marshal
import os
import select
import signal
import sys
import time

SUBREAPER = 36
CLOSED = ("closed",)


def main() -> None:
    """Serve until the engine closes the pipe, or dies."""
    grace, lock, wakeup = float(sys.argv[1]), int(sys.argv[2]), _wakeup()
    ended: dict[str, int] = {}
    if lock >= 0:
        os.set_inheritable(lock, False)  # noqa: FBT003 - what a command leaves behind must not hold it
    _adopt_orphans()
    while (message := _next()) != CLOSED:
        if message[0] == "forget":
            ended.clear()
        elif message[0] == "record":
            _record(ended)
        elif message[0] == "run":
            _, command, variables, result, mark = message
            code, closed = _wait(_spawn(command, variables), wakeup, grace)
            if code is not None:
                ended[result] = code
            if closed:
                break
            os.set_blocking(1, True)
            _write(b"%s %s\n" % (mark, b"" if code is None else b"%d" % code))
    _record(ended)


def _wakeup() -> int:
    """Return what can be read from once a signal has come."""
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return reader


def _adopt_orphans() -> None:
    """Become the parent of what a command's processes leave behind when they end; Linux only."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only where it is used

        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def _next() -> tuple:  # type: ignore[type-arg]  # importing `Any` would double the start-up time
    """Return the next message."""
    head = _read(4)
    body = _read(int.from_bytes(head, "big")) if head else b""
    return marshal.loads(body) if body else CLOSED  # noqa: S302 - the engine wrote it


def _read(size: int) -> bytes:
    """Return so many bytes; none when the engine is gone."""
    parts = []
    while size:
        part = os.read(0, min(size, 65536))
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _write(data: bytes) -> None:
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError:
        return  # the engine is gone, which standard input says as well


def _spawn(command: tuple[str, ...], variables: dict[str, str]) -> int:
    """Start the command in a process group of its own; 0 when it cannot be started."""
    defaults = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE)
    no_input = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    environment = {**os.environ, **variables}
    try:
        return os.posix_spawnp(command[0], command, environment, file_actions=no_input, setsigdef=defaults, setpgroup=0)
    except OSError as error:
        _write(b"%s: %s\n" % (os.fsencode(command[0]), os.fsencode(error.strerror or "")))
        return 0


def _wait(child: int, wakeup: int, grace: float) -> tuple[int | None, bool]:
    """Wait until the command and all that it started is over.

    Return its exit code, or None when it was asked to end and did not succeed before it did, and whether the engine is
    gone.
    """
    if not child:
        return 127, False
    deadline, closed = None, False
    while (status := _ended(child)) is None and not (deadline and time.monotonic() > deadline):
        watched = [wakeup] if closed else [wakeup, 0]
        ready, _, _ = select.select(watched, [], [], 0.05 if deadline else None)
        asked = wakeup in ready and bool(set(os.read(wakeup, 64)) - {signal.SIGCHLD})
        if 0 in ready:
            asked, closed = True, _next() == CLOSED
        if asked and not deadline:
            deadline = time.monotonic() + grace
            outside = _descendants(child)
            _kill_group(child, signal.SIGTERM)
            for each in outside:
                _kill(each, signal.SIGTERM)
    while deadline and status is not None and _others(child) and time.monotonic() < deadline:
        time.sleep(0.02)  # what the command started has the same grace
    _kill_group(child, signal.SIGKILL)
    if status is None:
        _, status = os.waitpid(child, 0)
    _sweep()
    return (None if deadline and status else os.waitstatus_to_exitcode(status)), closed


def _ended(child: int) -> int | None:
    """Return the status of the command's first process, None while it runs; reap what it orphaned."""
    while True:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended in (0, child):
            return status if ended else None


def _others(group: int) -> bool:
    """Return whether something of a command that is over still runs."""
    try:
        if sys.platform == "linux":
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        else:
            os.killpg(group, 0)
    except (ChildProcessError, ProcessLookupError, PermissionError):
        return False
    return True


def _kill_group(group: int, number: int) -> None:
    try:  # noqa: SIM105 - importing contextlib would double the start-up time
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS gives the second for a group of zombies
        pass


def _kill(process: int, number: int) -> bool:
    """Signal a process; return whether that could be done."""
    try:
        os.kill(process, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _sweep() -> None:
    """Kill what was left behind, until no child is there: each that ends may leave another."""
    while True:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not ended:
            killed = [_kill(each, signal.SIGKILL) for each in _descendants(os.getpid())]
            if not any(killed):
                return  # they are another account's, as those of `sudo` are
            time.sleep(0.001)


def _descendants(ancestor: int) -> list[int]:
    """Return the processes that a process and its descendants have started; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - likewise
    except OSError:
        return []
    for name in names:
        if name.isdigit():
            children.setdefault(_parent(name), []).append(int(name))
    found: list[int] = []
    ancestors = [ancestor]
    while ancestors:
        found += (own := children.get(ancestors.pop(), []))
        ancestors += own
    return found


def _parent(name: str) -> int:
    """Return the parent of a process; 0 for one that has ended."""
    try:
        with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - likewise
            state, parent, *_ = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if state in b"ZX" else int(parent)


def _record(ended: dict[str, int]) -> None:
    """Write exit codes into their files, durably, and forget them."""
    while ended:
        path, code = ended.popitem()
        with open(f"{path}.new", "w") as file:  # noqa: PTH123 - likewise
            file.write(str(code))
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{path}.new", path)  # noqa: PTH105 - likewise


if __name__ == "__main__":
    main()
