"""Which runs the record keeps: the last ones, and whatever a plan, a report or a log of today refers to."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stepflow.engine.history import ever_made, latest_run
from stepflow.journal import VALUES, Journal

KEEP = 50
"""How many runs are kept after each run."""
_DAY = 86400.0
_LOG = re.compile(r"((?:\d{2,}-.*-)?run(\d+)\.log)(?:\.1)?")  # of a run, or of a step in it, and what was in it before


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is not needed any more."""

    runs: tuple[int, ...] = ()  # removed with all that they did
    thinned: tuple[int, ...] = ()  # of these earlier runs only the last attempts at steps stay
    files: tuple[Path, ...] = ()  # their logs, and large values that nothing refers to
    superseded: bool = False  # an attempt that is not the last one refers to large values

    def __bool__(self) -> bool:
        """Whether there is anything to remove."""
        return bool(self.runs or self.files or self.superseded)

    @property
    def size(self) -> int:
        """How many bytes the files have."""
        sizes = [0]
        for each in self.files:
            with suppress(OSError):
                sizes.append(each.stat().st_size)
        return sum(sizes)


def to_prune(journal: Journal, state: Path, *, keep: int = KEEP, days: float | None = None) -> Pruning:
    """Return what nothing needs of the runs before the last `keep`, and of these only what began `days` ago or earlier.

    A run stays that has the last attempt at a step, that answered an outcome of the last run, or that was asked for
    what is still to be done.
    """
    latest = time.time() - (days or 0) * _DAY
    rows = journal.rows("SELECT id, started FROM runs ORDER BY id DESC LIMIT -1 OFFSET ?", max(keep, 1))
    old = frozenset(row["id"] for row in rows if row["started"] <= latest)
    needed = old & _needed(journal) if old else old
    sql = "SELECT id FROM attempts WHERE large_json <> '[]' AND id NOT IN (SELECT id FROM last_attempts) LIMIT 1"
    superseded = bool(journal.rows(sql))
    files = (*_logs(journal, state / "logs", old - needed, needed), *_values(journal, state / VALUES))
    return Pruning(tuple(sorted(old - needed)), tuple(sorted(needed)), files, superseded)


def prune(journal: Journal, pruning: Pruning) -> None:
    """Remove what is not needed: first from the record, then the files that it no longer refers to."""
    if not pruning:
        return
    journal.prune(pruning.runs, pruning.thinned)
    for each in pruning.files:
        with suppress(OSError):  # the next time
            each.unlink()


def _needed(journal: Journal) -> frozenset[int]:
    needed = {row["run"] for row in journal.rows("SELECT DISTINCT run FROM last_attempts")}
    if last := latest_run(journal):
        needed |= {each.run for each in last.outcomes}
    rows = journal.rows("SELECT asked_json FROM runs ORDER BY id DESC LIMIT 1")
    return frozenset(needed.union(*(row["asked"].values() for row in rows)))


def _logs(journal: Journal, folder: Path, removed: frozenset[int], thinned: frozenset[int]) -> Iterator[Path]:
    """Find the logs that no run has any more, those of runs that were removed before included."""
    if not removed:
        return
    whole = {row["id"] for row in journal.rows("SELECT id FROM runs")} - removed - thinned
    needed = {Path(row["log"]).name for row in journal.rows("SELECT log FROM last_attempts")}
    needed |= {f"run{number}.log" for number in thinned} | {f"{name}.log" for name in ever_made(journal)}
    for each in folder.glob("*.log*"):
        log = _LOG.fullmatch(each.name)
        if log and int(log[2]) not in whole and log[1] not in needed:
            yield each


def _values(journal: Journal, folder: Path) -> Iterator[Path]:
    """Find the values that the last attempts do not refer to."""
    rows = journal.rows("SELECT large_json FROM last_attempts WHERE large_json <> '[]'")
    needed = {digest for row in rows for _, _, digest in row["large"]}
    return (each for each in (folder.iterdir() if folder.is_dir() else ()) if each.name not in needed)
