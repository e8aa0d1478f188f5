"""Logs: one file a process, kept in bounds.

Processes write to their log themselves (opened for appending), not through a pipe of the supervisor: so a killed
supervisor neither loses a line nor breaks a pipe. Rotation therefore copies and truncates; a line written between the
two is lost, which a pipe would not do.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

LARGEST = 10 * 1024 * 1024  # bytes
KEPT = 3  # older files: `.1` is the youngest
_STEP = 0.1  # seconds between two looks at a log that is followed
_CHUNK = 64 * 1024


def rotate(log: Path, largest: int = LARGEST, kept: int = KEPT) -> None:
    """Move what a log holds to `<log>.1` when it has grown too large; the oldest file goes."""
    if not log.exists() or log.stat().st_size < largest:
        return
    for number in range(kept - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


def size(log: Path) -> int:
    """Return the length of a log in bytes."""
    return log.stat().st_size if log.exists() else 0


def tail(log: Path, lines: int, offset: int = 0) -> list[str]:
    """Return the last lines of a log, none that were written before `offset`."""
    if not log.exists() or lines < 1:
        return []
    with log.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        start, text = end, b""
        floor = offset if offset <= end else 0
        while start > floor and text.count(b"\n") <= lines:
            step = min(_CHUNK, start - floor)
            start -= step
            file.seek(start)
            text = file.read(step) + text
    return text.decode("utf-8", errors="replace").splitlines()[-lines:]


async def follow(logs: dict[str, Path]) -> AsyncGenerator[tuple[str, str], None]:
    """Yield each new line with the name of its process, until cancelled."""
    at = {name: size(log) for name, log in logs.items()}
    while True:
        for name, log in logs.items():
            length = size(log)
            begin = at[name] if length >= at[name] else 0  # it was truncated
            lines, at[name] = _since(log, begin) if length > begin else ([], begin)
            for line in lines:
                yield name, line
        await asyncio.sleep(_STEP)


def _since(log: Path, offset: int) -> tuple[list[str], int]:
    """Return the whole lines after `offset`, and where they end."""
    with log.open("rb") as file:
        file.seek(offset)
        whole = file.read().rpartition(b"\n")[0]
    if not whole:
        return [], offset
    return whole.decode("utf-8", errors="replace").splitlines(), offset + len(whole) + 1
