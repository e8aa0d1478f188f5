"""Group commit: what is recorded at the same time becomes durable together, or is lost together and said."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from stepflow.engine.commits import Commits
from stepflow.errors import MachineError
from stepflow.journal import Attempt, Journal


def begun(journal: Journal) -> int:
    return journal.begin_run(document="w.md", target="local", out="out", pid=1)


def attempts(path: Path) -> int:
    """Return what another process sees."""
    with sqlite3.connect(path) as db:
        (count,) = db.execute("SELECT count(*) FROM attempts").fetchone()
    db.close()
    return int(count)


class Counting(Journal):
    """Counts its commits."""

    commits = 0

    def commit(self) -> None:
        self.commits += self.waiting
        super().commit()


async def test_what_steps_record_in_one_turn_is_durable_together_and_not_before_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Counting(path) as journal:
        run, commits = begun(journal), Commits(journal)

        async def step(number: int) -> tuple[int, int]:
            journal.begin_step(run, Attempt(number, "T", "shell", "f"))
            before = attempts(path)
            await commits.durable()
            return before, attempts(path)

        with commits:
            seen = await asyncio.gather(*map(step, range(5)))
        assert seen == [(0, 5)] * 5
        assert journal.commits == 1
        journal.begin_step(run, Attempt(9, "T", "shell", "f"))
        assert attempts(path) == 6  # by itself again


async def test_what_is_recorded_last_is_durable_when_the_steps_are_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal(path) as journal:
        run = begun(journal)
        with Commits(journal):
            journal.begin_step(run, Attempt(1, "T", "shell", "f"))
        assert attempts(path) == 1


async def test_step_that_is_stopped_waits_until_what_it_recorded_is_durable(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal(path) as journal:
        run, commits = begun(journal), Commits(journal)

        async def step() -> None:
            journal.begin_step(run, Attempt(1, "T", "shell", "f"))
            await commits.durable()

        with commits:
            task = asyncio.create_task(step())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert attempts(path) == 1


async def test_changes_that_are_lost_are_an_error_of_each_step_that_waits_for_them(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal(path) as journal:
        run, commits = begun(journal), Commits(journal)

        async def step(number: int) -> None:
            journal.begin_step(run, Attempt(number, "T", "shell", "f"))
            await commits.durable()

        with commits:
            tasks = [asyncio.create_task(step(number)) for number in (1, 2)]
            await asyncio.sleep(0)
            journal._db.execute("ROLLBACK")
            with pytest.raises(MachineError, match=r"^the journal cannot be written: .* rolled back$"):
                journal.begin_step(run, Attempt(4, "T", "shell", "f"))
            lost = await asyncio.gather(*tasks, return_exceptions=True)
            assert [str(each) for each in lost] == [
                "the journal cannot be written: earlier changes were rolled back"
            ] * 2
            assert all(isinstance(each, MachineError) for each in lost)
            await step(3)
        assert attempts(path) == 1
