"""What the commands of a step print: appended to its log, and reported line by line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

LONGEST_LOG = 16 * 1024 * 1024  # bytes of a log; what it had before stands beside it, in `LOG.1`, and no more
TAIL = 12  # lines of a log that a failure shows
_LONGEST_LINE = 65536  # bytes; a longer one is reported in parts
MASK = b"***"
_SHORTEST_SECRET = 4  # characters; masking less would mask half of everything


class JobOutput:
    """The output of one step, from its first command to its last."""

    def __init__(
        self, log: Path, tell: Callable[[str], None], warn: Callable[[str], None], secrets: Iterable[str] = ()
    ) -> None:
        """Prepare; the log is made with the first line. `tell` gets each line, `warn` what is wrong with the log."""
        self._log, self._tell, self._warn = log, tell, warn
        self._descriptor = -1
        self._size = 0
        self._broken = False
        self._rest = b""
        self._masked = masks(secrets)

    def hear(self, chunk: bytes) -> None:
        """Take what comes next. Never raises: a log that cannot be written is not the command's fault."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._say([line + b"\n" for line in lines])
        while len(self._rest) >= _LONGEST_LINE:
            part, self._rest = self._rest[:_LONGEST_LINE], self._rest[_LONGEST_LINE:]
            self._say([part])

    def end(self) -> None:
        """Report what has no line end, and close the log."""
        rest, self._rest = self._rest, b""
        self._say([rest] if rest else [])
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _say(self, lines: list[bytes]) -> None:
        shown = [masked(line, self._masked) for line in lines] if self._masked else lines
        if shown:
            self._write(b"".join(shown))
        for line in shown:
            self._tell(line.removesuffix(b"\n").decode(errors="replace"))

    def _write(self, text: bytes) -> None:
        if self._broken:
            return
        try:
            if self._descriptor < 0:
                self._open()
            elif self._size + len(text) > LONGEST_LOG:
                os.close(self._descriptor)
                self._descriptor = -1
                self._log.replace(older(self._log))
                self._open()
            while text:
                written = os.write(self._descriptor, text)
                text, self._size = text[written:], self._size + written
        except OSError as error:
            self._broken = True
            self._warn(f"`{self._log}` cannot be written: {error.strerror}; what follows is not kept")

    def _open(self) -> None:
        self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # what commands print may be a secret
        self._descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size


def older(log: Path) -> Path:
    """Return where the part of a log stands that was cut off from it, when it became too long."""
    return log.with_name(f"{log.name}.1")


def masks(secrets: Iterable[str]) -> tuple[bytes, ...]:
    """Return what to mask for these secrets, the longest first: of one with several lines, each."""
    parts = (line.strip() for secret in secrets for line in secret.splitlines())
    told = {part.encode(errors="surrogateescape") for part in parts if len(part) >= _SHORTEST_SECRET}
    return tuple(sorted(told, key=len, reverse=True))


def masked(text: bytes, secrets: Iterable[bytes]) -> bytes:
    """Return the text without secrets."""
    for each in secrets:
        text = text.replace(each, MASK)
    return text


def tail(log: Path | str, lines: int = TAIL) -> tuple[str, ...]:
    """Return the last lines of a log; none for a log that does not exist."""
    try:
        with Path(log).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LONGEST_LINE))
            return tuple(file.read().decode(errors="replace").splitlines()[-lines:] if lines else ())
    except OSError:
        return ()
