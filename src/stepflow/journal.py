"""The journal: the durable record of runs, in SQLite (WAL, one writer, simple types, nothing pickled).

`runs`      one row a run: the document, the target and its options, the output folder, when it began and ended, how.
`attempts`  one row each time that a step was worked on. Written before anything is done: which step, the
            fingerprint with its components, the rendered files with their hashes, the declared workloads. Then the
            phase it is in. At the end the outcome, what it handed off, what its job wrote, or the error.

The files that describe the whole platform are recorded as an attempt at the step `PLATFORM`.

An attempt without an outcome was cut off: its step is worked on again. The last attempt counts, so a second resume
loses nothing of the first run. Columns that end in `_json` hold JSON; times are seconds since the epoch.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from stepflow import DISTRIBUTION
from stepflow.errors import MachineError, UsageError

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
)
"""Schema changes in the order they are made; only ever appended to."""

PLATFORM = -1
"""Stands where a step has its number: no document has such a step."""
_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})
_FULL = "free some space if the disk is full, then type the same again"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is written before a step is worked on."""

    step: int
    title: str
    playbook: str
    fingerprint: str
    components: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)  # rendered path -> digest
    workloads: Sequence[str] = ()
    reasons: Sequence[str] = ()
    log: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What is written when a step is over."""

    outcome: str
    handoff: Mapping[str, Any] | None = None
    written: Mapping[str, Any] | None = None  # what its job added to the handoff
    error: Mapping[str, Any] | None = None  # type, message, details
    files: Mapping[str, str] = field(default_factory=dict)  # rendered path -> digest, as it was really written


class Journal:
    """The only writer of the record. Use it in a `with` statement; queries are functions in `stepflow.engine.history`.

    Raises `UsageError` for a journal that a newer stepflow wrote and `MachineError` for a file that cannot be used.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the journal; make or upgrade it, in memory if it is only read."""
        mode = "ro" if read_only else "rwc"
        try:
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600)  # SQLite gives the files beside it the same mode
            self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            raise MachineError(f"the journal `{path}` cannot be opened: {error}") from error
        try:
            self._db = _prepared(self._db, path, read_only=read_only)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        """Give the open journal."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._db.close()

    def begin_run(
        self, *, document: str, target: str, out: str, pid: int, options: Mapping[str, str] = _NO_OPTIONS
    ) -> int:
        """Record that a run begins, and give its number."""
        sql = "INSERT INTO runs (started, pid, document, target, out, options_json) VALUES (?, ?, ?, ?, ?, ?)"
        return self._write(sql, time.time(), pid, document, target, out, _json(dict(options)))

    def end_run(self, run: int, status: str, outcomes: Sequence[Mapping[str, Any]], steps: Mapping[int, str]) -> None:
        """Record how a run and each of its steps ended, and which expected outcomes were answered."""
        sql = "UPDATE runs SET ended = ?, status = ?, outcomes_json = ?, steps_json = ? WHERE id = ?"
        self._write(sql, time.time(), status, _json(outcomes), _json(steps), run)

    def begin_step(self, run: int, attempt: Attempt) -> int:
        """Record, before anything is done, that a step is worked on, and give the attempt's number."""
        sql = (
            "INSERT INTO attempts (run, step, title, playbook, started, fingerprint, components_json, files_json, "
            "workloads_json, reasons_json, log) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        a = attempt
        described = (_json(a.components), _json(a.files), _json(a.workloads), _json(a.reasons), a.log)
        return self._write(sql, run, a.step, a.title, a.playbook, time.time(), a.fingerprint, *described)

    def enter_phase(self, attempt: int, phase: str) -> None:
        """Record, before it is entered, the phase of a step."""
        self._write("UPDATE attempts SET phase = ? WHERE id = ?", phase, attempt)

    def end_step(self, attempt: int, result: Result) -> None:
        """Record how a step ended, before those that rely on it start."""
        columns = "ended = ?, outcome = ?, files_json = ?, handoff_json = ?, written_json = ?, error_json = ?"
        sql = f"UPDATE attempts SET {columns} WHERE id = ?"  # noqa: S608 - the columns are the constant above
        told = (_json(value) if value is not None else None for value in (result.handoff, result.written, result.error))
        self._write(sql, time.time(), result.outcome, _json(result.files), *told, attempt)

    def rows(self, sql: str, *parameters: object) -> list[sqlite3.Row]:
        """Read. Raises `MachineError` for a damaged record."""
        try:
            return self._db.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise MachineError(f"the journal cannot be read: {error}") from error

    def _write(self, sql: str, *parameters: object) -> int:
        """Make one durable change: each is a transaction of its own."""
        try:
            return self._db.execute(sql, parameters).lastrowid or 0
        except sqlite3.Error as error:
            raise MachineError(f"the journal cannot be written: {error}", hint=_FULL) from error


def _prepared(db: sqlite3.Connection, path: Path, *, read_only: bool) -> sqlite3.Connection:
    try:
        db.execute("PRAGMA busy_timeout = 10000")
        if not read_only:
            db.execute("PRAGMA journal_mode = WAL")
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            hint = f"`pip install -U {DISTRIBUTION}`"
            raise UsageError(f"the journal `{path}` was written by a newer stepflow (format {version})", hint=hint)
        if read_only and version < len(MIGRATIONS):
            db = _in_memory(db)
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            db.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
    except sqlite3.Error as error:
        full = isinstance(error, sqlite3.OperationalError)
        raise MachineError(f"the journal `{path}` cannot be used: {error}", hint=_FULL if full else "") from error
    db.row_factory = sqlite3.Row
    return db


def _in_memory(db: sqlite3.Connection) -> sqlite3.Connection:
    """Copy an older journal, which its reader may not upgrade where it lies."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    db.backup(copy)
    db.close()
    return copy


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
