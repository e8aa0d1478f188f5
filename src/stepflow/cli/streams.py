"""Standard output and standard error: what cannot be encoded is escaped, and a stream that breaks never fails a run.

Where stdout goes away, a command that only prints ends; a run goes on in silence to its own end, since its effects are
what it is for. Messages on stderr are dropped where they cannot be written.
"""

from __future__ import annotations

import codecs
import errno
import io
import locale
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PATIENCE = 1.0  # seconds in which a reader takes nothing, after which a run does not wait for it
_ESCAPES = "stepflow-escapes"
_TERMINAL = "stepflow-terminal"  # the option of the interpreter that hands on the terminal's encoding
_PAUSE = 0.01  # seconds between two tries
_CHUNK = select.PIPE_BUF  # bytes that a pipe which is ready takes at once
_MOST = 64 * 2**20  # bytes that wait for a reader
_MOST_DRAWN = 2**20  # likewise for a terminal, on which what is older is overdrawn
_LEFT = frozenset({errno.EPIPE, errno.EIO, errno.ENXIO})


class StdoutError(Exception):
    """Standard output cannot be written. Not an `OSError`, which a command may take for one of its files."""

    def __init__(self, error: OSError) -> None:
        """Keep what the system said."""
        super().__init__(error.strerror)
        self.number = error.errno or 0
        self.reason = (error.strerror or str(error)).lower()

    @property
    def left(self) -> bool:
        """Whether the reader has gone, or the terminal: nothing is wrong then."""
        return self.number in _LEFT


class Outlet(io.RawIOBase):
    """Writes to a descriptor, in small pieces. What is not taken within the patience waits, and the caller goes on.

    The first error is handed to `broke`; whatever is written later is dropped.
    """

    def __init__(self, descriptor: int, broke: Callable[[OSError], None], *, patience: float | None = None) -> None:
        """Write to `descriptor`, which stays open; wait at most `patience` seconds for it to take more (None: any)."""
        super().__init__()
        self._number, self._broke, self._patience = descriptor, broke, patience
        self._own = _unblocking(descriptor) if patience is not None else None
        self._most = _MOST_DRAWN if os.isatty(descriptor) else _MOST
        self._pending = bytearray()
        self._lock = threading.RLock()  # the live view draws in a thread of its own
        self._broken = False

    @property
    def unread(self) -> bool:
        """Whether what is written is not taken: it waits, or it cannot be written at all."""
        return self._broken or bool(self._pending)

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._number

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return os.isatty(self._number)

    def write(self, data: ReadableBuffer, /) -> int:
        """Take everything."""
        with self._lock:
            taken = bytes(data)
            late = bool(self._pending)
            if not self._broken and len(self._pending) < self._most:
                self._pending += taken
            self._send(0 if late else self._patience)
        return len(taken)

    def drain(self, patience: float | None = None) -> None:
        """Wait until everything has been taken, or cannot be; at most `patience` seconds for it to take more."""
        with self._lock:
            self._send(patience)

    def close(self) -> None:
        """Close what was opened here."""
        if self._own is not None:
            os.close(self._own)
            self._own = None
        super().close()

    def _send(self, patience: float | None) -> None:
        descriptor = self._number if self._own is None else self._own
        while self._pending:
            try:
                if patience is not None and not _ready(descriptor, patience):
                    return
                sent = os.write(descriptor, self._pending if patience is None else self._pending[:_CHUNK])
            except BlockingIOError:  # a terminal that takes less than one piece, or someone made it so
                if patience is not None:
                    return
                time.sleep(_PAUSE)
            except OSError as error:
                self._pending.clear()
                self._broken = True
                self._broke(error)
            else:
                del self._pending[:sent]


def _ready(descriptor: int, patience: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(patience * 1000))


def _unblocking(descriptor: int) -> int | None:
    """Open a terminal once more, so that it takes what fits: other programs use the descriptor that was given."""
    try:
        return os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # not a terminal, or another account's
        return None


def prepare() -> None:
    """Put stdout and stderr in place for a command, before it opens anything."""
    if sys.getfilesystemencoding() != "utf-8":
        _begin_in_utf_8()
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file, such as the journal, would get the number, and what is printed with it
            os.open(os.devnull, os.O_RDWR)
    codecs.register_error(_ESCAPES, _escaped)
    out, err = Outlet(1, _raise), Outlet(2, _drop)
    sys.stdout = _text(io.BufferedWriter(out), sys.stdout, line_buffering=out.isatty())
    sys.stderr = _text(err, sys.stderr, write_through=True)


def _begin_in_utf_8() -> NoReturn:
    """Begin again with UTF-8 for the names of files and the words of commands, as they are in the document.

    In a locale of another encoding they would be written in that, or not at all. The terminal keeps it.
    """
    terminal = "" if "PYTHONIOENCODING" in os.environ else locale.getencoding()
    options = ["-X", "utf8", *(["-X", f"{_TERMINAL}={terminal}"] if terminal else [])]
    os.execv(sys.executable, [sys.executable, *options, *sys.orig_argv[1:]])  # noqa: S606 - itself


@contextmanager
def lasting(stream: TextIO, broke: Callable[[OSError], None]) -> Iterator[tuple[TextIO, Outlet | None]]:
    """Yield a stream to the same place for what goes on when it breaks, and its outlet; the stream itself, and None,
    where it leads to no descriptor.
    """
    try:
        outlet = Outlet(stream.fileno(), broke, patience=PATIENCE)
    except (OSError, ValueError):  # it leads to a test
        yield stream, None
        return
    with _text(outlet, stream, write_through=True) as text:
        yield text, outlet


def _text(raw: io.BufferedWriter | Outlet, like: TextIO | None, **how: bool) -> TextIO:
    encoding = sys._xoptions.get(_TERMINAL) or (like.encoding if like else "utf-8")  # noqa: SLF001 - documented
    return io.TextIOWrapper(raw, str(encoding), _ESCAPES, newline="\n", **how)  # type: ignore[type-var]


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Write what the encoding lacks as `\u2192`, two of them beyond U+FFFF: JSON reads the same from it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


def _raise(error: OSError) -> None:
    raise StdoutError(error) from error


def _drop(error: OSError) -> None:
    """Nowhere is left to say it."""
