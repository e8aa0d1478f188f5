"""One stream for several readers, each in a thread of its own; none gets far ahead of the slowest. Blocking."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import Full, Queue

_AHEAD = 4  # pieces that wait for a reader
_LOOK = 0.2  # seconds after which a full queue's reader is looked at


class Reader:
    """What one reader gets: the pieces, or what went wrong with them."""

    def __init__(self) -> None:
        self._pieces: Queue[bytes | Exception | None] = Queue(_AHEAD)
        self._left = threading.Event()

    def pieces(self) -> Iterator[bytes]:
        """Return each piece as it comes. Raises what the source raised."""
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def leave(self) -> None:
        """Stop reading, so that the other readers are not held up."""
        self._left.set()

    def put(self, piece: bytes | Exception | None) -> None:
        """Hand a piece over, unless the reader left; None is the end."""
        while not self._left.is_set():
            try:
                self._pieces.put(piece, timeout=_LOOK)
            except Full:
                continue
            return


def tee(source: Iterable[bytes], readers: Iterable[Reader]) -> None:
    """Hand each piece to each reader, then the end; what the source raises each of them raises."""
    every = tuple(readers)
    end: Exception | None = None
    try:
        for piece in source:
            for reader in every:
                reader.put(piece)
    except Exception as error:  # noqa: BLE001 - the reader raises it
        end = error
    for reader in every:
        reader.put(end)
