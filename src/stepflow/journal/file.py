"""The journal's file: made and upgraded by its writer, read without making another; what to do when it is damaged."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

from stepflow import DISTRIBUTION
from stepflow.errors import MachineError, UsageError
from stepflow.journal.schema import MIGRATIONS

_NEW = ".journal.new"
BEFORE_A_RUN = frozenset({"lock", "commands.lock", "hash.key", ".gitignore", _NEW})
"""All that a state directory has before a run has begun."""
VALUES = "values"
"""The folder beside the journal with the large values that it refers to."""
_CLOSED = frozenset({sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})
_SMALLEST = 512  # bytes of a SQLite database: its smallest page (sqlite.org/fileformat.html)
FULL = "free some space if the disk is full, then type the same again"


def opened(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Connect to the journal; create or upgrade it. If it is only read, that is done in memory, and no file is made.

    Raises `UsageError` for one that a newer stepflow wrote and `MachineError` for a file that cannot be used.
    """
    if read_only and not path.exists():
        raise MachineError(f"there is no journal `{near(path)}` any more", hint=_without(path))
    _require_whole(path)
    try:
        db = _reader(path) if read_only else _writer(path)
    except OSError as error:
        problem = f"the journal `{near(path)}` cannot be opened: {error.strerror}"
        raise MachineError(problem, hint=_yours(path)) from error
    except sqlite3.Error as error:
        raise MachineError(f"the journal `{near(path)}` cannot be used: {error}", hint=way_on(error, path)) from error
    try:
        return _prepared(db, path, read_only=read_only)
    except BaseException:
        db.close()
        raise


def _require_whole(path: Path) -> None:
    """Raise `MachineError` for what is not a file, and for one that was emptied: it is made with its tables in it.

    Version 0.1.0 made it empty, and may have been killed then: nothing else is in its folder.
    """
    if path.exists() and not path.is_file():
        raise MachineError(f"the journal `{near(path)}` is not a file", hint=way_out(path))
    if path.exists() and 0 < path.stat().st_size < _SMALLEST:  # SQLite takes one of a byte for a new one
        problem = f"the journal `{near(path)}` cannot be used: file is not a database"
        raise MachineError(problem, hint=way_out(path))
    if path.exists() and path.stat().st_size == 0:
        own = {path.name, f"{path.name}-wal", f"{path.name}-shm", *BEFORE_A_RUN}
        if {each.name for each in path.parent.iterdir()} - own:
            problem = f"the journal `{near(path)}` is empty: what it recorded is lost"
            raise MachineError(problem, hint=way_out(path))


def _writer(path: Path) -> sqlite3.Connection:
    """Connect to write. A new file appears under its name only with its tables in it."""
    if path.exists():
        path.open("r+b").close()  # says why it cannot be written
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(_NEW)
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)  # SQLite gives the files beside it the same mode
        _prepared(_connected(new, "rw"), path, read_only=False).close()
        new.rename(path)
    return _connected(path, "rw")


def _reader(path: Path) -> sqlite3.Connection:
    """Connect to read, making no file: to a copy in memory where no writer has the journal open.

    Where one has, or was killed, SQLite's own files are there already; without the second, which SQLite would make, it
    works on a copy.
    """
    path.open("rb").close()  # says why it cannot be read
    beside = [path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm")]
    while not beside[0].exists():
        before = path.stat()
        copy = _in_memory(_connected(path, "ro&immutable=1"))
        after = path.stat()
        if (before.st_ino, before.st_mtime_ns, before.st_size) == (after.st_ino, after.st_mtime_ns, after.st_size):
            return copy
        copy.close()
    if beside[1].exists():
        return _connected(path, "ro")
    with TemporaryDirectory() as folder:
        for file in (path, beside[0]):
            shutil.copyfile(file, Path(folder) / file.name)
        return _in_memory(_connected(Path(folder) / path.name, "rw"))


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)


def _prepared(db: sqlite3.Connection, path: Path, *, read_only: bool) -> sqlite3.Connection:
    try:
        db.execute("PRAGMA busy_timeout = 10000")
        if not read_only:
            db.execute("PRAGMA journal_mode = WAL")
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            hint = f"`pip install -U {DISTRIBUTION}`"
            raise UsageError(
                f"the journal `{near(path)}` was written by a newer stepflow (format {version})", hint=hint
            )
        if read_only and version < len(MIGRATIONS):
            db = _in_memory(db)
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            db.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
        if read_only:
            db.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise MachineError(f"the journal `{near(path)}` cannot be used: {error}", hint=way_on(error, path)) from error
    db.row_factory = sqlite3.Row
    return db


def _in_memory(db: sqlite3.Connection) -> sqlite3.Connection:
    """Move a connection to a copy."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.backup(copy)
    finally:
        db.close()
    return copy


def way_on(error: sqlite3.Error, path: Path) -> str:
    """Return what to type for an error, by its primary result code (the lowest 8 bits, sqlite.org/rescode.html)."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _CLOSED:
        return _yours(path)
    # The plain `SQLITE_ERROR` is about the schema: a table that is missing, or one that is there already.
    full = isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR
    return FULL if full else way_out(path)


def _yours(path: Path) -> str:
    return f"the file and its folder must be yours: `ls -ld {near(path.parent)} {near(path)}`"


def way_out(path: Path) -> str:
    """Return what to type for a damaged journal: it moves away, with the files that SQLite keeps beside it."""
    file = near(path)
    folder = f"{os.path.dirname(file)}/damaged"  # noqa: PTH120 - a relative path stays one
    return f"`mkdir -p {folder} && mv {file}* {folder}/`, then {_without(path)}"


def near(path: Path) -> str:
    """Return the path as people type it from the working directory."""
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near


def _without(path: Path) -> str:
    name = path.parent.name
    return (
        f"`stepflow run FILE --name {name}`, which takes over what runs and runs commands again, "
        f"or `stepflow down --name {name}`"
    )
