"""Writes the record of runs, and reads it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from pydantic import ValidationError

from stepflow.errors import MachineError
from stepflow.journal.entries import Attempt, Declared, Result
from stepflow.journal.file import FULL, VALUES, near, opened, way_on, way_out
from stepflow.journal.schema import HOLDS, JSON
from stepflow.large import kept, restored

_NONE: Mapping[Any, Any] = MappingProxyType({})
_ENDED = ("ended", "outcome", "handoff_json", "written_json", "large_json")
_PAGES = ("freelist_count", "page_count", "page_size")
_WORTH_IT = 1 << 20  # bytes that a smaller file saves
_TOLD, _ITEMS = 4000, 100  # characters of a text, and items of a list, that are recorded for people
_THIS_RUN = "(SELECT max(id) FROM runs)"
Change = tuple[str, tuple[object, ...]]
"""A statement and its parameters."""


class Journal:
    """The only writer of the record. Use it in a `with` statement; queries are functions in `stepflow.engine.history`.

    Raises `UsageError` for a journal that a newer stepflow wrote and `MachineError` for a file that cannot be used.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the journal; create or upgrade it. If it is only read, that is done in memory, and no file is made."""
        self._path, self._values = path, path.parent / VALUES
        self._soon: Callable[[], object] | None = None  # called when a group of changes begins
        self.waiting = False  # changes wait for a commit
        self._db = opened(path, read_only=read_only)

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
        options: Mapping[str, str] = _NONE,
        workflow: str = "",
        declared: Sequence[Declared] | None = None,
        asked: Mapping[int, int] = _NONE,
        accepted: Sequence[tuple[Attempt, Result]] = (),
        taken: float = 0.0,
    ) -> int:
        """Record that a run begins, and return its number. `declared` are the steps of its document.

        `asked` has the steps to do again in any case, by key, each with the run that was asked for it first (0: this
        one); `accepted` steps that are done as they are, in the same change. `taken` are the seconds that the run has
        taken already: it looks at everything before it is recorded.
        """
        sql = (
            "INSERT INTO runs (started, pid, document, target, out, options_json, workflow, asked_json) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        run = (time.time() - taken, pid, document, target, out, _json(dict(options)), workflow, _json(asked))
        done = (change for attempt, over in accepted for change in self._begun(_THIS_RUN, attempt, over))
        return self._write((sql, run), *self._stand(declared), *done)

    def end_run(
        self,
        run: int,
        status: str,
        outcomes: Sequence[Mapping[str, Any]],
        steps: Mapping[int, str],
        *,
        seconds: float,
        files: Mapping[int, Mapping[str, str]] = _NONE,
    ) -> None:
        """Record how a run and each of its steps ended, which expected outcomes were answered, and how long it took.

        `files` has the rendered files that steps, by key, own from now on.
        """
        sql = "UPDATE runs SET ended = started + ?, status = ?, outcomes_json = ?, steps_json = ? WHERE id = ?"
        own = (
            "UPDATE attempts SET files_json = ?, owned_json = '{}' "
            "WHERE id = (SELECT max(id) FROM attempts WHERE step = ?)"
        )
        owned = ((own, (_json(found), step)) for step, found in files.items())
        answered = [{**each, "evidence": _bounded(each.get("evidence", ()))} for each in outcomes]
        self._write((sql, (seconds, status, _json(answered), _json(steps), run)), *owned)

    def begin_step(self, run: int, attempt: Attempt) -> int:
        """Record, before anything is done, that a step is worked on, and return the attempt's number."""
        return self._write(*self._begun(str(int(run)), attempt))

    def enter_phase(self, attempt: int, phase: str) -> None:
        """Record, before it is entered, the phase of a step."""
        self._write(("UPDATE attempts SET phase = ? WHERE id = ?", (phase, attempt)))

    def end_step(self, attempt: int, result: Result) -> None:
        """Record how a step ended, before those that rely on it start."""
        error = _json(_bounded(result.error)) if result.error is not None else None
        ended = (time.time(), result.outcome, *self._handed_off(result), _json(result.files), error)
        columns = " = ?, ".join((*_ENDED, "files_json", "error_json"))
        sql = f"UPDATE attempts SET {columns} = ? WHERE id = ?"  # noqa: S608 - constants
        self._write((sql, (*ended, attempt)))

    def prune(self, runs: Sequence[int], thinned: Sequence[int]) -> None:
        """Remove runs, and of those to be thinned the attempts that are not the last at their steps, with what earlier
        attempts have of large values; make the file smaller where that is worth it.
        """
        earlier = "id NOT IN (SELECT id FROM last_attempts)"
        of_runs = "(SELECT value FROM json_each(?))"
        large = "handoff_json = NULL, written_json = NULL, large_json = '[]'"
        self._write(
            (f"DELETE FROM attempts WHERE run IN {of_runs} AND {earlier}", (_json([*runs, *thinned]),)),  # noqa: S608 - constants
            (f"DELETE FROM runs WHERE id IN {of_runs}", (_json([*runs]),)),  # noqa: S608 - likewise
            (f"UPDATE attempts SET {large} WHERE large_json <> '[]' AND {earlier}", ()),  # noqa: S608 - likewise
        )
        free, pages, size = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in _PAGES)
        if free * size >= _WORTH_IT and free * 4 >= pages:
            with suppress(sqlite3.Error):  # another process reads it, or the disk is full: the next time
                self._db.execute("VACUUM")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def together(self, soon: Callable[[], object] | None) -> None:
        """Make changes durable in groups from now on, each group by a `commit`; `soon` is called when one begins.

        None: each change by itself again, after those that are waiting. Raises `MachineError` when these are lost.
        """
        self.commit()
        self._soon = soon

    def commit(self) -> None:
        """Make durable what is waiting. Raises `MachineError` when that cannot be done: all of it is lost then."""
        if not self.waiting:
            return
        self.waiting = False
        try:
            self._require_together()
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise self._unwritable(error) from error

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Read: the value of a column by its name, that of `steps_json` by `steps`.

        Raises `MachineError` for a damaged record.
        """
        try:
            found = self._db.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(str(error)) from error
        return [self._row(row) for row in found]

    def _row(self, row: sqlite3.Row) -> dict[str, Any]:
        read = {name.removesuffix(JSON): self._value(name, row[name]) for name in row.keys()}  # noqa: SIM118 - a row iterates over its values
        for name, *where in read.get("large", ()):
            if name in read:
                read[name] = restored(read[name], [where], self._values)
        return read

    def _value(self, column: str, value: object) -> Any:  # noqa: ANN401 - what the column holds
        try:
            return HOLDS[column].validate_python(value) if column in HOLDS else value
        except ValidationError as error:
            raise self._unreadable(f"`{column}` does not hold what stepflow writes there") from error

    def _unreadable(self, why: str) -> MachineError:
        return MachineError(f"the journal `{near(self._path)}` cannot be read: {why}", hint=way_out(self._path))

    def _stand(self, declared: Sequence[Declared] | None) -> list[Change]:
        """Return the changes after which these are the steps of the document, none where they are already."""
        if declared is None:
            return []
        columns = "step, number, title, playbook, identity, content"
        before = {tuple(row.values()) for row in self.rows(f"SELECT {columns} FROM steps WHERE stood")}  # noqa: S608 - a constant
        now = [astuple(each) for each in declared]
        if before == {*now}:
            return []
        sql = f"INSERT OR REPLACE INTO steps ({columns}, stood) VALUES (?, ?, ?, ?, ?, ?, 1)"  # noqa: S608 - likewise
        return [("UPDATE steps SET stood = 0", ()), *((sql, each) for each in now)]

    def _begun(self, run: str, attempt: Attempt, over: Result | None = None) -> list[Change]:
        """Return the changes that record an attempt; `over` is how it ended, where nothing is done of it."""
        columns = (
            "run, step, number, title, playbook, started, fingerprint, form, log, components_json, workloads_json, "
            f"reasons_json, accepted_json, owned_json, files_json, {', '.join(_ENDED)}"
        )
        a, now, number = attempt, time.time(), attempt.step if attempt.number is None else attempt.number
        began = now - over.seconds if over else now
        known = (a.step, number, _bounded(a.title), a.playbook, began, a.fingerprint, a.form, a.log)
        files = over.files if over else a.files
        told = (*map(_json, (a.components, a.workloads, _bounded(a.reasons), a.accepted, a.owned, files)),)
        ended = (now, over.outcome, *self._handed_off(over)) if over else (None, None, None, None, "[]")
        holes = ", ".join("?" * (len(known) + len(told) + len(ended)))
        sql = f"INSERT INTO attempts ({columns}) VALUES ({run}, {holes})"  # noqa: S608 - constants, a number
        made = [("INSERT OR IGNORE INTO made VALUES (?)", (name,)) for name in a.workloads]
        return [(sql, (*known, *told, *ended)), *made]

    def _handed_off(self, result: Result) -> tuple[object, ...]:
        """Return what a step handed off and what its job wrote, without large values, and where these belong; they are
        in files by now.
        """
        told: list[str | None] = []
        large: list[tuple[str, list[str], str]] = []
        for name, value in (("handoff", result.handoff), ("written", result.written)):
            try:
                slim, places = (None, []) if value is None else kept(value, self._values)
            except OSError as error:
                problem = f"the journal cannot be written: {error.strerror}: `{near(self._values)}`"
                raise MachineError(problem, hint=FULL) from error
            told.append(None if value is None else _json(slim))
            large += [(name, *where) for where in places]
        return (*told, _json(large))

    def _write(self, *changes: Change) -> int:
        """Make changes, all or none, and return the row that the first one inserted. They are durable when this
        returns, or with the group that they belong to.
        """
        try:
            if self._soon is None:
                return self._all(changes, "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
            if not self.waiting:
                self._db.execute("BEGIN IMMEDIATE")
                self.waiting = True
                self._soon()
            self._require_together()
            return self._all(changes, "SAVEPOINT one", "RELEASE one", "ROLLBACK TO one")
        except sqlite3.Error as error:
            raise self._unwritable(error) from error

    def _require_together(self) -> None:
        """Raise `sqlite3.OperationalError` when an error has rolled back what is waiting."""
        if not self._db.in_transaction:
            raise sqlite3.OperationalError("earlier changes were rolled back")

    def _all(self, changes: Sequence[Change], begin: str, end: str, undo: str) -> int:
        if len(changes) == 1:
            return self._db.execute(*changes[0]).lastrowid or 0
        self._db.execute(begin)
        try:
            rows = [self._db.execute(*change).lastrowid for change in changes]
            self._db.execute(end)
        except BaseException:
            with suppress(sqlite3.Error):  # an error may have rolled it back
                self._db.execute(undo)
            raise
        return rows[0] or 0

    def _unwritable(self, error: sqlite3.Error) -> MachineError:
        return MachineError(f"the journal cannot be written: {error}", hint=way_on(error, self._path))


def _bounded(told: Any) -> Any:  # noqa: ANN401 - JSON has no better name
    """Return what is told to people without the end of what is very long."""
    if isinstance(told, str):
        more = len(told) - _TOLD
        return f"{told[:_TOLD]}… and {more} more characters" if more > 0 else told
    if isinstance(told, Mapping):
        return {key: _bounded(each) for key, each in told.items()}
    if isinstance(told, Sequence):
        more = len(told) - _ITEMS
        return [*map(_bounded, told[:_ITEMS]), *([f"and {more} more"] if more > 0 else [])]
    return told


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=dict)
