"""The journal: the durable record of runs, in SQLite (WAL, one writer, simple types, nothing pickled).

`runs`      one row a run: the document, the name that it gives itself, its steps with the key of each, the target and
            its options, the output folder, when it began and ended, how.
`attempts`  one row each time that a step was worked on. Written before anything is done: which step, the
            fingerprint with its components, the rendered files with their hashes, the declared workloads. Then the
            phase it is in. At the end the outcome, what it handed off, what its job wrote, or the error.

A step is known by its key (`step`), a number that it keeps wherever it moves in the document and whatever it is called;
`number` is where it stood. Journals from before there were keys get the number for one.
The files that describe the whole platform are recorded as an attempt at the step `PLATFORM`.

An attempt without an outcome was cut off: its step is worked on again. The last attempt counts, so a second resume
loses nothing of the first run. Columns that end in `_json` hold JSON; times are seconds since the epoch.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import Json, TypeAdapter, ValidationError

from stepflow import DISTRIBUTION
from stepflow.errors import MachineError, UsageError
from stepflow.events import Outcome

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, status TEXT, pid INTEGER NOT NULL,
        document TEXT NOT NULL, target TEXT NOT NULL, out TEXT NOT NULL, outcomes_json TEXT NOT NULL DEFAULT '[]',
        steps_json TEXT NOT NULL DEFAULT '{}');
    CREATE TABLE attempts (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs (id), step INTEGER NOT NULL, title TEXT NOT NULL,
        playbook TEXT NOT NULL, started REAL NOT NULL, ended REAL, phase TEXT NOT NULL DEFAULT '', outcome TEXT,
        fingerprint TEXT NOT NULL, components_json TEXT NOT NULL, files_json TEXT NOT NULL,
        workloads_json TEXT NOT NULL, handoff_json TEXT, written_json TEXT, error_json TEXT,
        reasons_json TEXT NOT NULL DEFAULT '[]', log TEXT NOT NULL DEFAULT '');
    CREATE INDEX attempts_by_step ON attempts (step, id);
    CREATE INDEX attempts_by_run ON attempts (run, id);
    """,
    "ALTER TABLE runs ADD COLUMN options_json TEXT NOT NULL DEFAULT '{}';",
    """
    ALTER TABLE runs ADD COLUMN workflow TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN declared_json TEXT NOT NULL DEFAULT '';
    ALTER TABLE attempts ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE attempts ADD COLUMN form INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE attempts ADD COLUMN accepted_json TEXT NOT NULL DEFAULT '{}';
    UPDATE attempts SET number = step;
    """,
)
"""Schema changes in the order they are made; only ever appended to."""

_NEW = ".journal.new"
BEFORE_A_RUN = frozenset({"lock", "commands.lock", "hash.key", "hash.key.new", ".gitignore", _NEW})
"""All that a state directory has before a run has begun."""
PLATFORM = -1
"""Stands where a step has its key: no document has such a step."""
_JSON = "_json"
_HOLDS: Mapping[str, TypeAdapter[Any]] = {
    **dict.fromkeys(("id", "run", "step", "number", "form"), TypeAdapter(int)),
    **dict.fromkeys(("document", "target", "out", "workflow", "title", "playbook", "phase", "log"), TypeAdapter(str)),
    **dict.fromkeys(("status", "outcome"), TypeAdapter(str | None)),
    "started": TypeAdapter(float),
    "ended": TypeAdapter(float | None),
    "outcomes_json": TypeAdapter(Json[tuple[Outcome, ...]]),
    "steps_json": TypeAdapter(Json[dict[int, str]]),
    "options_json": TypeAdapter(Json[dict[str, str]]),
    "declared_json": TypeAdapter(Literal[""] | Json[list[tuple[int, int, str, str, str, str]]]),
    **dict.fromkeys(("components_json", "files_json"), TypeAdapter(Json[dict[str, str]])),
    **dict.fromkeys(("handoff_json", "written_json", "error_json"), TypeAdapter(Json[dict[str, Any] | None] | None)),
    **dict.fromkeys(("workloads_json", "reasons_json"), TypeAdapter(Json[tuple[str, ...]])),
    "accepted_json": TypeAdapter(Json[dict[str, tuple[str, str]]]),
}
"""Column -> what it holds."""
_CLOSED = frozenset({sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})
_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})
_SMALLEST = 512  # bytes of a SQLite database: its smallest page (sqlite.org/fileformat.html)
_FULL = "free some space if the disk is full, then type the same again"


@dataclass(frozen=True, slots=True)
class Declared:
    """A step as a run's document has it."""

    key: int
    number: int
    title: str
    playbook: str
    id: str = ""
    content: str = ""  # digest of what the document says of it, without its title and number


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is written before a step is worked on."""

    step: int  # its key
    title: str
    playbook: str
    fingerprint: str
    components: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)  # rendered path -> digest
    workloads: Sequence[str] = ()
    reasons: Sequence[str] = ()
    log: str = ""
    number: int | None = None  # where it stands in the document, if that is not its key
    form: int = 1  # in which the components are written
    accepted: Mapping[str, Sequence[str]] = field(default_factory=dict)  # workload -> its digest, the one that runs


@dataclass(frozen=True, slots=True)
class Result:
    """What is written when a step is over."""

    outcome: str
    handoff: Mapping[str, Any] | None = None
    written: Mapping[str, Any] | None = None  # what its job added to the handoff
    error: Mapping[str, Any] | None = None  # type, message, details
    files: Mapping[str, str] = field(default_factory=dict)  # rendered path -> digest, as it was really written
    seconds: float = 0.0  # that it took, where nothing is done now


class Journal:
    """The only writer of the record. Use it in a `with` statement; queries are functions in `stepflow.engine.history`.

    Raises `UsageError` for a journal that a newer stepflow wrote and `MachineError` for a file that cannot be used.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the journal; create or upgrade it. If it is only read, that is done in memory, and no file is made."""
        self._path = path
        if read_only and not path.exists():
            raise MachineError(f"there is no journal `{_near(path)}` any more", hint=_without(path))
        _require_whole(path)
        try:
            self._db = _reader(path) if read_only else _writer(path)
        except OSError as error:
            problem = f"the journal `{_near(path)}` cannot be opened: {error.strerror}"
            raise MachineError(problem, hint=_yours(path)) from error
        except sqlite3.Error as error:
            raise MachineError(
                f"the journal `{_near(path)}` cannot be used: {error}", hint=_hint(error, path)
            ) from error
        try:
            self._db = _prepared(self._db, path, read_only=read_only)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        """Return the open journal."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._db.close()

    def begin_run(
        self,
        *,
        document: str,
        target: str,
        out: str,
        pid: int,
        options: Mapping[str, str] = _NO_OPTIONS,
        workflow: str = "",
        declared: Sequence[Declared] | None = None,
        taken: float = 0.0,
    ) -> int:
        """Record that a run begins, and return its number. What is `declared` is kept where it differs from before.

        `taken` are the seconds that it has taken already: it looks at everything before it is recorded.
        """
        sql = (
            "INSERT INTO runs (started, pid, document, target, out, options_json, workflow, declared_json) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, coalesce(nullif(?, "
            "(SELECT declared_json FROM runs WHERE declared_json <> '' ORDER BY id DESC LIMIT 1)), ''))"
        )
        steps = "" if declared is None else _json([astuple(each) for each in declared])
        return self._write(sql, time.time() - taken, pid, document, target, out, _json(dict(options)), workflow, steps)

    def end_run(
        self, run: int, status: str, outcomes: Sequence[Mapping[str, Any]], steps: Mapping[int, str], *, seconds: float
    ) -> None:
        """Record how a run and each of its steps ended, which expected outcomes were answered, and how long it took."""
        sql = "UPDATE runs SET ended = started + ?, status = ?, outcomes_json = ?, steps_json = ? WHERE id = ?"
        self._write(sql, seconds, status, _json(outcomes), _json(steps), run)

    def begin_step(self, run: int, attempt: Attempt, over: Result | None = None) -> int:
        """Record, before anything is done, that a step is worked on, and return the attempt's number.

        `over` is how it ended, of one that is recorded without anything being done: in the same change.
        """
        sql = (
            "INSERT INTO attempts (run, step, number, title, playbook, started, fingerprint, form, components_json, "
            "files_json, workloads_json, reasons_json, log, accepted_json, ended, outcome, handoff_json, written_json) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        a, now, number = attempt, time.time(), attempt.step if attempt.number is None else attempt.number
        files = a.files if over is None else over.files
        described = (_json(a.components), _json(files), _json(a.workloads), _json(a.reasons), a.log, _json(a.accepted))
        ended = (now, over.outcome, _json(over.handoff), _json(over.written)) if over else (None, None, None, None)
        began = now - over.seconds if over else now
        return self._write(
            sql, run, a.step, number, a.title, a.playbook, began, a.fingerprint, a.form, *described, *ended
        )

    def enter_phase(self, attempt: int, phase: str) -> None:
        """Record, before it is entered, the phase of a step."""
        self._write("UPDATE attempts SET phase = ? WHERE id = ?", phase, attempt)

    def end_step(self, attempt: int, result: Result) -> None:
        """Record how a step ended, before those that rely on it start."""
        columns = "ended = ?, outcome = ?, files_json = ?, handoff_json = ?, written_json = ?, error_json = ?"
        sql = f"UPDATE attempts SET {columns} WHERE id = ?"  # noqa: S608 - the columns are the constant above
        told = (_json(value) if value is not None else None for value in (result.handoff, result.written, result.error))
        self._write(sql, time.time(), result.outcome, _json(result.files), *told, attempt)

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Read: the value of a column by its name, that of `steps_json` by `steps`.

        Raises `MachineError` for a damaged record.
        """
        try:
            found = self._db.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(str(error)) from error
        return [{name.removesuffix(_JSON): self._value(name, row[name]) for name in row.keys()} for row in found]  # noqa: SIM118 - a row iterates over its values

    def _value(self, column: str, value: object) -> Any:  # noqa: ANN401 - what the column holds
        try:
            return _HOLDS[column].validate_python(value) if column in _HOLDS else value
        except ValidationError as error:
            raise self._unreadable(f"`{column}` does not hold what stepflow writes there") from error

    def _unreadable(self, why: str) -> MachineError:
        return MachineError(f"the journal `{_near(self._path)}` cannot be read: {why}", hint=_way_out(self._path))

    def _write(self, sql: str, *parameters: object) -> int:
        """Make one durable change: each is a transaction of its own."""
        try:
            return self._db.execute(sql, parameters).lastrowid or 0
        except sqlite3.Error as error:
            raise MachineError(f"the journal cannot be written: {error}", hint=_hint(error, self._path)) from error


def _require_whole(path: Path) -> None:
    """Raise `MachineError` for what is not a file, and for one that was emptied: it is made with its tables in it.

    Version 0.1.0 made it empty, and may have been killed then: nothing else is in its folder.
    """
    if path.exists() and not path.is_file():
        raise MachineError(f"the journal `{_near(path)}` is not a file", hint=_way_out(path))
    if path.exists() and 0 < path.stat().st_size < _SMALLEST:  # SQLite takes one of a byte for a new one
        problem = f"the journal `{_near(path)}` cannot be used: file is not a database"
        raise MachineError(problem, hint=_way_out(path))
    if path.exists() and path.stat().st_size == 0:
        own = {path.name, f"{path.name}-wal", f"{path.name}-shm", *BEFORE_A_RUN}
        if {each.name for each in path.parent.iterdir()} - own:
            problem = f"the journal `{_near(path)}` is empty: what it recorded is lost"
            raise MachineError(problem, hint=_way_out(path))


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
                f"the journal `{_near(path)}` was written by a newer stepflow (format {version})", hint=hint
            )
        if read_only and version < len(MIGRATIONS):
            db = _in_memory(db)
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            db.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
        if read_only:
            db.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise MachineError(f"the journal `{_near(path)}` cannot be used: {error}", hint=_hint(error, path)) from error
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


def _hint(error: sqlite3.Error, path: Path) -> str:
    """Return what to type for an error, by its primary result code (the lowest 8 bits, sqlite.org/rescode.html)."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _CLOSED:
        return _yours(path)
    # The plain `SQLITE_ERROR` is about the schema: a table that is missing, or one that is there already.
    full = isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR
    return _FULL if full else _way_out(path)


def _yours(path: Path) -> str:
    return f"the file and its folder must be yours: `ls -ld {_near(path.parent)} {_near(path)}`"


def _way_out(path: Path) -> str:
    """Return what to type for a damaged journal: it moves away, with the files that SQLite keeps beside it."""
    file = _near(path)
    folder = f"{os.path.dirname(file)}/damaged"  # noqa: PTH120 - a relative path stays one
    return f"`mkdir -p {folder} && mv {file}* {folder}/`, then {_without(path)}"


def _near(path: Path) -> str:
    """Return the path as people type it from the working directory."""
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near


def _without(path: Path) -> str:
    name = path.parent.name
    return (
        f"`stepflow run FILE --name {name}`, which takes over what runs and runs commands again, "
        f"or `stepflow down --name {name}`"
    )


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
