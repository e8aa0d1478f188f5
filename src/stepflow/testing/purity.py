"""Watches that code keeps to itself: writes no file, opens no connection, starts no process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_FORBIDDEN = frozenset(
    {
        "socket.connect",
        "socket.bind",
        "subprocess.Popen",
        "os.system",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.putenv",
    }
)
_watched: list[list[str]] = []
_installed: list[bool] = []


@contextmanager
def watched() -> Iterator[list[str]]:
    """Collect what the code in the block did to the world outside, one line each; of one thread at a time."""
    if not _installed:
        sys.addaudithook(_notice)  # there is no way to take a hook away again
        _installed.append(True)
    deeds: list[str] = []
    _watched.append(deeds)
    try:
        yield deeds
    finally:
        _watched.remove(deeds)


def _notice(event: str, arguments: tuple[object, ...]) -> None:
    if not _watched:
        return
    if event in _FORBIDDEN:
        _watched[-1].append(f"{event} {arguments[:2]}")
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        _watched[-1].append(f"opened {arguments[0]} for writing")
