"""One stream for several readers: each gets all of it, and one that leaves does not block the others."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from stepflow.targets.kubernetes.loading.tee import Reader, tee

PIECES = [bytes([number]) for number in range(100)]


def read(reader: Reader) -> list[bytes]:
    return list(reader.pieces())


def leave(reader: Reader) -> list[bytes]:
    """Read one piece and want no more."""
    found = [next(reader.pieces())]
    reader.leave()
    return found


def test_each_reader_gets_every_piece_in_order() -> None:
    readers = [Reader(), Reader(), Reader()]
    with ThreadPoolExecutor() as pool:
        found = [pool.submit(read, each) for each in readers]
        tee(PIECES, readers)
        assert [each.result() for each in found] == [PIECES, PIECES, PIECES]


def test_reader_that_leaves_holds_no_one_up() -> None:
    stays, leaves = Reader(), Reader()
    with ThreadPoolExecutor() as pool:
        whole, first = pool.submit(read, stays), pool.submit(leave, leaves)
        tee(PIECES, [leaves, stays])
        assert (whole.result(), first.result()) == (PIECES, PIECES[:1])


def test_what_the_source_raises_each_reader_raises() -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise OSError("the engine went away")

    readers = [Reader(), Reader()]
    with ThreadPoolExecutor() as pool:
        found = [pool.submit(read, each) for each in readers]
        tee(broken(), readers)
        for each in found:
            with pytest.raises(OSError, match="the engine went away"):
                each.result()
