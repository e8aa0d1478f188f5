"""What a run was asked to do again is owed until it is done, whichever run does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stepflow.errors import PermanentError
from stepflow.events import StepFinished
from stepflow.journal import Attempt, Journal, Result

if TYPE_CHECKING:
    from tests.unit.conftest import Lab

    from stepflow.plan import Plan

ASKED = "asked for in run 2, which did not finish it"


class CutOff(BaseException):
    """Stands for SIGKILL."""


async def plan(lab: Lab, document: str) -> Plan:
    with Journal(lab.folder / "state/journal.db", read_only=True) as journal:
        return (await lab.look(document, journal)).plan


async def cut_off(lab: Lab, document: str, at: int, monkeypatch: pytest.MonkeyPatch, **options: object) -> None:
    """Run and die when the step `at` begins, before that is recorded."""
    begin = Journal.begin_step

    def begin_step(self: Journal, run: int, attempt: Attempt) -> int:
        if attempt.number == at:
            raise CutOff
        return begin(self, run, attempt)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "begin_step", begin_step)
        with pytest.raises(CutOff):
            await lab.run(document, jobs=1, **options)


async def test_cut_off_run_from_a_step_is_taken_up_by_the_next_whatever_it_is_called(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = lab.document("a", "b<1", "c<2", "d")
    await lab.run(document)
    await cut_off(lab, document, 2, monkeypatch, forced=(1,))
    planned = await plan(lab, document)
    assert [step.action for step in planned.steps] == ["reuse", "rerun", "rerun", "reuse"]
    assert planned.steps[2].reasons == (ASKED,)
    await lab.run(document)
    assert lab.outcomes() == {1: "reused", 2: "done", 3: "done", 4: "reused"}
    assert lab.reasons(2) == (ASKED,)
    await lab.run(document)
    assert set(lab.outcomes().values()) == {"reused"}


async def test_steps_that_are_owed_are_known_wherever_they_move_and_when_they_come_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.run(lab.document("a", "b<1", "c<1"))
    await cut_off(lab, lab.document("a", "b<1", "c<1"), 2, monkeypatch, forced=(1,))
    new = "- Replicas: 2"  # or it would be taken for another one that was renamed
    await lab.run(lab.document("new", "a", "c<2", new=new))
    assert lab.outcomes() == {1: "done", 2: "reused", 3: "done"}
    assert lab.reasons(3) == (ASKED,)
    await lab.run(lab.document("new", "a", "c<2", new=new))
    assert set(lab.outcomes().values()) == {"reused"}
    planned = await plan(lab, lab.document("new", "a", "c<2", "b<2", new=new))
    assert ASKED in planned.steps[3].reasons


async def test_step_that_came_to_rely_on_one_that_is_owed_is_done_again_with_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.run(lab.document("a", "b", "c<2"))
    await cut_off(lab, lab.document("a", "b", "c<2"), 1, monkeypatch, forced=(1,))
    await lab.run(lab.document("a", "b<1", "c<2"))
    assert lab.outcomes() == {1: "done", 2: "done", 3: "done"}


async def test_later_start_adds_to_what_is_owed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    document = lab.document("a", "b", "c")
    await lab.run(document)
    await cut_off(lab, document, 1, monkeypatch, forced=(1,))
    await cut_off(lab, document, 1, monkeypatch, forced=(2,))
    await lab.run(document)
    assert lab.outcomes() == {1: "done", 2: "done", 3: "reused"}
    assert (lab.reasons(1), lab.reasons(2)) == ((ASKED,), ("asked for in run 3, which did not finish it",))


async def test_step_that_fails_leaves_owed_what_relies_on_it(lab: Lab) -> None:
    document = lab.document("a", "b<1")
    await lab.run(document)
    for _ in range(2):
        lab.target.lose("a")
        lab.target.fail("a", PermanentError("broken"))
        assert await lab.run(document, forced=(1,)) == "failed"
    await lab.run(document)
    assert lab.outcomes() == {1: "done", 2: "done"}
    assert lab.reasons(1) == ("failed in run 3",)
    assert lab.reasons(2) == ("asked for in run 3, which did not finish it",)


async def test_accepted_step_is_not_owed_any_more_nor_done_again_with_what_it_relies_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = lab.document("a", "b<1")
    await lab.run(document)
    await cut_off(lab, document, 1, monkeypatch, forced=(1,))
    await lab.run(document, accepted=(2,))
    assert lab.outcomes() == {1: "done", 2: "reused"}
    await lab.run(document)
    assert lab.outcomes() == {1: "reused", 2: "reused"}
    await lab.run(document, forced=(1,), accepted=(2,))
    assert lab.outcomes() == {1: "done", 2: "reused"}


async def test_steps_are_accepted_in_the_very_change_with_which_the_run_begins(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.run(lab.document("a", "b"))
    lab.world.template = b"x = 2\n"
    await cut_off(lab, lab.document("a", "b"), 1, monkeypatch, accepted=(2,))
    await lab.run(lab.document("a", "b"))
    assert lab.outcomes() == {1: "done", 2: "reused"}


async def test_step_that_is_asked_for_does_not_continue_what_was_cut_off_before(lab: Lab) -> None:
    await lab.run(lab.document("a"))
    with Journal(lab.folder / "state/journal.db") as journal:
        (row,) = journal.rows("SELECT * FROM attempts")
    attempt = Attempt(1, "a", "service", "an earlier one", row["components"], row["files"], number=1, form=row["form"])

    async def continued(**options: object) -> bool:
        with Journal(lab.folder / "state/journal.db") as journal:
            journal.begin_step(journal.begin_run(document="w.md", target="fake", out="out", pid=7), attempt)
        await lab.run(lab.document("a"), **options)
        assert [event.outcome for event in lab.said(StepFinished)] == ["done"]
        with Journal(lab.folder / "state/journal.db") as journal:
            rows = journal.rows("SELECT fingerprint FROM attempts ORDER BY id DESC LIMIT 1")
            return bool(rows[0]["fingerprint"] == "an earlier one")

    assert await continued()
    assert not await continued(forced=(1,))


def test_what_a_run_was_asked_for_is_recorded_with_the_run_that_was_asked_first(lab: Lab) -> None:
    with Journal(lab.folder / "state/journal.db") as journal:
        described = {"document": "w.md", "target": "fake", "out": "out", "pid": 7}
        done = Result("done", files={})
        journal.begin_run(**described, asked={4: 0, 5: 3}, accepted=[(Attempt(6, "f", "", "x"), done)])  # type: ignore[arg-type]
        assert journal.rows("SELECT asked_json FROM runs") == [{"asked": {4: 0, 5: 3}}]
        assert journal.rows("SELECT run, step, outcome FROM attempts") == [{"run": 1, "step": 6, "outcome": "done"}]
