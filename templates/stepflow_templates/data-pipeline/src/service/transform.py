"""The transformation: SQL models, built in the order of what they read, tested before they are published.

A model is `models/<schema>/<table>.sql`: one SELECT under a header of comments.
    -- materialized: append      adds the rows of `raw.new_events` (default `table`: rebuilt from what it reads);
                                 has the column `event_id`, so that the events of old tests can be deleted
    -- test: not_null a b        also `unique a b` (together) and `accepted_values a x y z`
A refresh is one transaction: when a test fails the reports stay as they were, and say so.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files

import duckdb

HEADER = re.compile(r"^-- (materialized|test): *(.+?) *$", re.MULTILINE)
COMMENT = re.compile(r"--.*$", re.MULTILINE)
READS = re.compile(r"\b(?:staging|marts)\.[a-z_]+")
FORGOTTEN = timedelta(days=1)  # after which an event of a test account is deleted
TESTS = {"not_null", "unique", "accepted_values"}


class ModelError(Exception):
    """A model's file is wrong."""


class TestsFailedError(Exception):
    """Tests found rows that must not exist; nothing was published."""

    __test__ = False

    def __init__(self, failures: tuple[str, ...]) -> None:
        """Keep each failure's text."""
        super().__init__("; ".join(failures))
        self.failures = failures


@dataclass(frozen=True, slots=True)
class Model:
    """One table: its name with schema, its SELECT, how it is built, its tests as words."""

    name: str
    sql: str
    append: bool
    tests: tuple[tuple[str, ...], ...]
    reads: frozenset[str]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did."""

    events: int
    seconds: float


def parse(name: str, text: str) -> Model:
    """Read a model's file. Raises `ModelError` naming the model and what is wrong."""
    headers = HEADER.findall(text)
    kinds = [value for key, value in headers if key == "materialized"] or ["table"]
    if kinds[0] not in {"table", "append"}:
        raise ModelError(f"model {name}: materialized `{kinds[0]}`; there are `table` and `append`")
    tests = tuple(tuple(value.split()) for key, value in headers if key == "test")
    for test in tests:
        if test[0] not in TESTS or len(test) < 2 + (test[0] == "accepted_values"):
            raise ModelError(f"model {name}: test `{' '.join(test)}` is none of {', '.join(sorted(TESTS))}")
    sql = COMMENT.sub("", text).strip().rstrip(";")
    return Model(name, sql, kinds[0] == "append", tests, frozenset(READS.findall(sql)) - {name})


def in_order(models: Iterable[Model]) -> tuple[Model, ...]:
    """Sort models after those that they read. Raises `ModelError` for a dependency cycle or a table that is not a
    model.
    """
    by_name = {model.name: model for model in models}
    for model in by_name.values():
        missing = sorted(model.reads - by_name.keys())
        if missing:
            raise ModelError(f"model {model.name} reads `{missing[0]}`, which is not a model")
    try:
        order = TopologicalSorter({name: sorted(model.reads) for name, model in sorted(by_name.items())}).static_order()
        return tuple(by_name[name] for name in order)
    except CycleError as error:
        raise ModelError(f"dependency cycle: {' -> '.join(error.args[1])}") from None


def shipped() -> tuple[Model, ...]:
    """Read the service's own models, in order."""
    folder = files("service") / "models"
    found = [(schema, file) for schema in ("staging", "marts") for file in (folder / schema).iterdir()]
    sources = [(schema, file) for schema, file in found if file.name.endswith(".sql")]
    return in_order(parse(f"{s}.{f.name.removesuffix('.sql')}", f.read_text(encoding="utf-8")) for s, f in sources)


def digest(models: Iterable[Model]) -> str:
    """Return a digest that identifies this set of models."""
    return hashlib.sha256("\x00".join(f"{m.name}\x00{m.append}\x00{m.sql}" for m in models).encode()).hexdigest()


def refresh(connection: duckdb.DuckDBPyConnection, models: tuple[Model, ...]) -> Refreshed:
    """Update all models to what is loaded, in the caller's transaction. Raises `TestsFailedError`."""
    begun = time.monotonic()
    _reset_if_changed(connection, models)
    events, newest = connection.execute("SELECT count(*), max(load_id) FROM raw.new_events").fetchone() or (0, None)
    tests = _old_tests(connection)
    for model in models:
        if not model.append:
            connection.execute(f"CREATE OR REPLACE TABLE {model.name} AS {model.sql}")
        else:
            connection.execute(f"CREATE TABLE IF NOT EXISTS {model.name} AS {model.sql} LIMIT 0")
            connection.execute(f"INSERT INTO {model.name} BY NAME {model.sql}")
            if tests:
                forgotten = "(SELECT id FROM raw.events WHERE test AND time < ?)"
                connection.execute(f"DELETE FROM {model.name} WHERE event_id IN {forgotten}", [tests])  # noqa: S608 - our own model files
    failures = tuple(failure for model in models for failure in _failures(connection, model))
    if failures:
        raise TestsFailedError(failures)
    if tests:
        connection.execute("DELETE FROM raw.events WHERE test AND time < ?", [tests])
    now = datetime.now(UTC).replace(tzinfo=None)
    connection.execute("UPDATE meta.watermark SET load_id = coalesce(?, load_id), refreshed_at = ?", [newest, now])
    connection.execute("DELETE FROM meta.published")
    connection.execute("INSERT INTO meta.published SELECT stream, created, sequence FROM raw.positions")
    return Refreshed(int(events), time.monotonic() - begun)


def _old_tests(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """Return the time before which events of test accounts are deleted: when new ones have come; else None."""
    if not connection.execute("SELECT 1 FROM raw.new_events WHERE test LIMIT 1").fetchone():
        return None
    return datetime.now(UTC).replace(tzinfo=None) - FORGOTTEN


def _reset_if_changed(connection: duckdb.DuckDBPyConnection, models: tuple[Model, ...]) -> None:
    wanted = digest(models)
    known = connection.execute("SELECT models FROM meta.watermark").fetchone()
    if known == (wanted,):
        return
    tables = connection.execute(
        "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE schema_name IN ('staging', 'marts')"
    ).fetchall()
    for (table,) in tables:
        connection.execute(f"DROP TABLE {table}")
    connection.execute("UPDATE meta.watermark SET load_id = 0, models = ?", [wanted])


def _failures(connection: duckdb.DuckDBPyConnection, model: Model) -> Iterable[str]:
    for kind, *words in model.tests:
        wrong = connection.execute(_test_query(model.name, kind, words), words[1:] if kind == "accepted_values" else [])
        row = wrong.fetchone()
        if row and row[0]:
            yield f"{model.name}: {kind} {' '.join(words)}: {row[0]} {'row' if row[0] == 1 else 'rows'}"


def _test_query(table: str, kind: str, words: list[str]) -> str:
    # Table, columns and their number come from the service's own model files.
    if kind == "not_null":
        return f"SELECT count(*) FROM {table} WHERE {' OR '.join(f'{column} IS NULL' for column in words)}"  # noqa: S608 - of our own model files
    if kind == "unique":
        columns = ", ".join(words)
        return f"SELECT count(*) FROM (SELECT 1 FROM {table} GROUP BY {columns} HAVING count(*) > 1)"  # noqa: S608 - of our own model files
    places = ", ".join("?" for _ in words[1:])
    return f"SELECT count(*) FROM {table} WHERE {words[0]} NOT IN ({places})"  # noqa: S608 - of our own model files
