"""The SQLite file: one connection that writes, short-lived ones that read (WAL: neither waits for the other)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path

NAME = "telemetry.sqlite"
READ_SECONDS = 5.0
"""How long one query may take, in seconds."""
_STEPS = 10_000  # instructions of SQLite's virtual machine between two checks of the clock
_CACHE_KIB = 8192


class TooSlowError(Exception):
    """A query took longer than `READ_SECONDS`."""


def open_writer(folder: Path) -> sqlite3.Connection:
    """Open the file for writing, and create missing tables. Usable from one other thread."""
    folder.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(folder / NAME, isolation_level=None, check_same_thread=False)
    connection.executescript(
        f"PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
        f"PRAGMA cache_size = -{_CACHE_KIB}; PRAGMA busy_timeout = 5000; PRAGMA journal_size_limit = 16777216;"
    )
    connection.executescript(files("service").joinpath("schema.sql").read_text("utf-8"))
    return connection


@contextmanager
def reader(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the file for reading; a query that takes too long ends in `TooSlowError`."""
    deadline = time.monotonic() + READ_SECONDS
    uri = f"{(folder / NAME).absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        connection.execute("BEGIN")  # one snapshot for all queries of a request
        try:
            yield connection
        except sqlite3.OperationalError as error:
            if "interrupted" in str(error):
                raise TooSlowError(f"it took more than {READ_SECONDS:g} s") from error
            raise
