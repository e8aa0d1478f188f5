"""The tables of the journal, as the changes that made them, and what each column holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, Json, TypeAdapter

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
    "ALTER TABLE runs ADD COLUMN asked_json TEXT NOT NULL DEFAULT '{}';",
    """
    ALTER TABLE attempts ADD COLUMN owned_json TEXT NOT NULL DEFAULT '{}';
    UPDATE attempts SET owned_json = coalesce((
        SELECT files_json FROM attempts AS earlier
        WHERE earlier.step = attempts.step AND earlier.id < attempts.id AND earlier.outcome IS NOT NULL
        ORDER BY earlier.id DESC LIMIT 1), '{}')
    WHERE outcome IS NULL;
    CREATE VIEW last_attempts AS  -- the last one at each step, found by the index, however many there were
        WITH RECURSIVE steps (step) AS (
            SELECT min(step) FROM attempts UNION ALL
            SELECT (SELECT min(step) FROM attempts WHERE step > steps.step) FROM steps WHERE steps.step IS NOT NULL)
        SELECT attempts.* FROM steps JOIN attempts
        ON attempts.id = (SELECT max(id) FROM attempts AS each WHERE each.step = steps.step);
    """,
    """
    ALTER TABLE attempts ADD COLUMN large_json TEXT NOT NULL DEFAULT '[]';
    CREATE INDEX attempts_with_large ON attempts (id) WHERE large_json <> '[]';
    """,
    """
    CREATE TABLE steps (
        step INTEGER PRIMARY KEY, number INTEGER NOT NULL, title TEXT NOT NULL, playbook TEXT NOT NULL,
        identity TEXT NOT NULL, content TEXT NOT NULL, stood INTEGER NOT NULL);
    INSERT OR REPLACE INTO steps
        SELECT step, number, title, playbook, '', '', 1 FROM attempts WHERE step <> -1 ORDER BY id;
    INSERT OR REPLACE INTO steps
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
               json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'), 0
        FROM runs, json_each(declared_json) WHERE declared_json <> '' ORDER BY runs.id;
    UPDATE steps SET stood = step IN (
        SELECT json_extract(value, '$[0]') FROM json_each(
            (SELECT declared_json FROM runs WHERE declared_json <> '' ORDER BY id DESC LIMIT 1)))
    WHERE EXISTS (SELECT 1 FROM runs WHERE declared_json <> '');
    UPDATE runs SET declared_json = '';  -- not used any more
    CREATE TABLE made (name TEXT PRIMARY KEY) WITHOUT ROWID;
    INSERT OR IGNORE INTO made SELECT value FROM attempts, json_each(workloads_json);
    """,
)
"""Schema changes in the order they are made; only ever appended to."""

PLATFORM = -1
"""Stands where a step has its key: no document has such a step."""
JSON = "_json"
_TEXTS = ("document", "target", "out", "workflow", "title", "playbook", "identity", "content", "name", "phase", "log")
_Time = Annotated[float, Field(ge=0, le=253402300799)]  # seconds since the epoch, up to the year 9999
HOLDS: Mapping[str, TypeAdapter[Any]] = {
    **dict.fromkeys(("id", "run", "step", "number", "form"), TypeAdapter(int)),
    **dict.fromkeys(_TEXTS, TypeAdapter(Annotated[str, Field(pattern=r"\A[^\x00]*\z")])),
    **dict.fromkeys(("status", "outcome"), TypeAdapter(str | None)),
    "stood": TypeAdapter(bool),
    "started": TypeAdapter(_Time),
    "ended": TypeAdapter(_Time | None),
    "outcomes_json": TypeAdapter(Json[tuple[Outcome, ...]]),
    "steps_json": TypeAdapter(Json[dict[int, str]]),
    "options_json": TypeAdapter(Json[dict[str, str]]),
    "asked_json": TypeAdapter(Json[dict[int, int]]),
    **dict.fromkeys(("components_json", "files_json", "owned_json"), TypeAdapter(Json[dict[str, str]])),
    **dict.fromkeys(("handoff_json", "written_json", "error_json"), TypeAdapter(Json[dict[str, Any] | None] | None)),
    **dict.fromkeys(("workloads_json", "reasons_json"), TypeAdapter(Json[tuple[str, ...]])),
    "large_json": TypeAdapter(Json[list[tuple[Literal["handoff", "written"], list[str], str]]]),
    "accepted_json": TypeAdapter(Json[dict[str, tuple[str, str]]]),
}
"""Column -> what it holds."""
