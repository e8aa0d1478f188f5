"""A step is itself wherever it stands, and an accepted one stays as it is, on a target in memory."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from stepflow.engine import attempts_of, last_attempts, past, runs
from stepflow.errors import PermanentError, UsageError
from stepflow.events import StepFinished
from stepflow.handoff import Handoff
from stepflow.journal import Journal
from stepflow.playbook import Playbook, StepInput, Takes
from stepflow.targets.contract import Observed
from stepflow.workload import Declaration, Job

if TYPE_CHECKING:
    from tests.unit.conftest import Lab

RECORDED = Path(__file__).parents[1] / "data/recorded/services"


async def test_service_above_which_another_is_put_is_left_alone(lab: Lab) -> None:
    await lab.run(lab.document("a", "b<1", "c<2"))
    await lab.run(lab.document("new", "a", "b<2", "c<3"))
    assert lab.outcomes() == {1: "done", 2: "reused", 3: "reused", 4: "reused"}
    assert lab.reasons(3) == ("unchanged and healthy: reused", "was step 2")
    assert lab.target.applied == {"a": 1, "b": 1, "c": 1, "new": 1}
    await lab.run(lab.document("new", "a", "b<2", "c<3"))
    assert lab.reasons(3) == ("unchanged and healthy: reused",)


async def test_step_that_takes_from_several_is_left_alone_when_they_move(lab: Lab) -> None:
    await lab.run(lab.document("a", "b", "c<1,2"))
    await lab.run(lab.document("new", "b", "a", "c<2,3"))
    assert lab.outcomes() == {1: "done", 2: "reused", 3: "reused", 4: "reused"}


async def test_changed_step_that_moved_says_what_changed_and_where_it_was(lab: Lab) -> None:
    await lab.run(lab.document("a", "b"))
    await lab.run(lab.document("new", "a", "b", b="- Replicas: 2"))
    assert lab.reasons(3) == ("field `Replicas` changed 1 -> 2", "`b` scaled 1 -> 2", "was step 2")


async def test_rendered_files_belong_to_the_step_and_not_to_its_number(lab: Lab) -> None:
    await lab.run(lab.document("a", "b"))
    await lab.run(lab.document("b"))
    with Journal(lab.folder / "state/journal.db", read_only=True) as journal:
        known = past(journal, lab.folder / "out")
    assert known.files.paths[2] == {"b/app.py", "chassis/lib.py"}
    lab.world.template = b"x = 2\n"
    await lab.run(lab.document("b"))
    assert (lab.folder / "out/b/app.py").read_bytes() == b"x = 2\n"
    assert not (lab.folder / "out/a").exists()


async def test_record_of_a_run_names_its_steps_by_the_numbers_that_they_had(lab: Lab) -> None:
    await lab.run(lab.document("a", "b"))
    await lab.run(lab.document("new", "a", "b", b="- Replicas: 2"))
    with Journal(lab.folder / "state/journal.db", read_only=True) as journal:
        assert [each["step"] for each in attempts_of(journal, 1)] == [1, 2]
        assert [each["step"] for each in attempts_of(journal, 2)] == [1, 3]
        assert [run.workflow for run in runs(journal)] == ["lab", "lab"]


async def test_accepted_step_stays_as_it_is_until_something_else_changes(lab: Lab) -> None:
    await lab.run(lab.document("a", "b<1"))
    lab.world.template = b"x = 2\n"
    await lab.run(lab.document("a", "b<1"), accepted=(1, 2))
    assert lab.outcomes() == {1: "reused", 2: "reused"}
    assert lab.reasons(1) == (
        "unchanged and healthy: reused",
        "accepted as unchanged: what is rendered changed: a/app.py",
    )
    assert lab.target.applied == {"a": 1, "b": 1}
    await lab.run(lab.document("a", "b<1"))
    assert lab.reasons(1) == ("unchanged and healthy: reused",)
    await lab.run(lab.document("a", "b<1", a="- Replicas: 2"))
    assert lab.outcomes() == {1: "done", 2: "reused"}
    assert lab.target.applied == {"a": 1, "b": 1}
    await lab.run(lab.document("a", "b<1", a="- Replicas: 2"))
    assert lab.outcomes() == {1: "reused", 2: "reused"}
    lab.world.template = b"x = 3\n"
    await lab.run(lab.document("a", "b<1", a="- Replicas: 2"))
    assert lab.outcomes() == {1: "done", 2: "done"}
    assert lab.target.applied == {"a": 2, "b": 2}
    assert (lab.folder / "out/a/app.py").read_bytes() == b"x = 3\n"


async def test_what_the_target_sees_in_what_runs_is_put_right_though_the_step_is_accepted(lab: Lab) -> None:
    await lab.run(lab.document("a"))
    lab.world.template = b"x = 2\n"
    await lab.run(lab.document("a", a="- Replicas: 2"), accepted=(1,))
    accepted = (
        "accepted as unchanged: field `Replicas` changed 1 -> 2, `a` scaled 1 -> 2, what is rendered changed: a/app.py"
    )
    assert lab.reasons(1) == (
        "scale `a`: it has 1 copy instead of 2",
        f"{accepted}; what differs in what runs is not accepted with it",
    )
    assert (lab.target.observed["a"].replicas, lab.target.applied) == (2, {"a": 1})


async def test_accepted_step_keeps_the_time_that_it_took(lab: Lab) -> None:
    async def slow() -> str:
        await asyncio.sleep(0.05)
        return "up"

    lab.world.answers["a up"] = slow
    await lab.run(lab.document("a"))
    lab.world.template = b"x = 2\n"

    def took() -> float:
        with Journal(lab.folder / "state/journal.db", read_only=True) as journal:
            return last_attempts(journal)[1].record.seconds

    before = took()
    assert before >= 0.05
    await lab.run(lab.document("a"), accepted=(1,))
    assert took() == pytest.approx(before, abs=0.001)


async def test_file_that_a_later_version_renders_too_is_accepted_with_the_rest(lab: Lab) -> None:
    document = recorded(lab)
    lab.world.template, lab.world.added = b"x = 2\n", {"new.py": b""}
    before = dict(lab.target.observed)
    for _ in range(2):
        await lab.run(document, accepted=(1, 2, 3))
        assert lab.outcomes() == {1: "reused", 2: "reused", 3: "reused"}
    await lab.run(document)
    assert lab.outcomes() == {1: "reused", 2: "reused", 3: "reused"}
    assert (lab.target.applied, lab.target.observed) == ({}, before)
    assert list((lab.folder / "out").rglob("new.py")) == []
    lab.world.added = {"new.py": b"y = 2\n"}
    await lab.run(document)
    assert lab.outcomes() == {1: "done", 2: "done", 3: "done"}
    assert len(list((lab.folder / "out").rglob("new.py"))) == 3


async def test_rendered_file_that_is_gone_is_rendered_again_unless_that_is_accepted(lab: Lab) -> None:
    document = lab.document("a", "b")
    await lab.run(document)
    (lab.folder / "out/a/app.py").unlink()
    (lab.folder / "out/b/app.py").unlink()
    await lab.run(document, accepted=(2,))
    assert lab.reasons(1) == ("1 rendered file is gone",)
    assert lab.reasons(2) == ("unchanged and healthy: reused", "accepted as unchanged: 1 rendered file is gone")
    await lab.run(document)
    assert lab.outcomes() == {1: "reused", 2: "reused"}
    assert not (lab.folder / "out/b/app.py").exists()
    lab.world.template = b"x = 2\n"
    await lab.run(document)
    assert (lab.folder / "out/b/app.py").read_bytes() == b"x = 2\n"
    (lab.folder / "out/b/app.py").unlink()
    await lab.run(document)
    assert lab.reasons(2) == ("1 rendered file is gone",)


async def test_step_that_never_succeeded_or_does_not_run_is_not_accepted(lab: Lab) -> None:
    with pytest.raises(UsageError, match="step 1 cannot be accepted as it is: it never ran") as refused:
        await lab.run(lab.document("a"), accepted=(1,))
    assert refused.value.hint == "leave `--accept-unchanged` out for it: it has to run"
    lab.target.fail("a", PermanentError("no"))
    await lab.run(lab.document("a"))
    with pytest.raises(UsageError, match="step 1 cannot be accepted as it is: it failed in run 1"):
        await lab.run(lab.document("a"), accepted=(1,))
    await lab.run(lab.document("a"))
    there = lab.target.observed["a"]
    lab.target.observed["a"] = replace(there, digest="")
    with pytest.raises(UsageError, match="step 1 cannot be accepted as it is: the copies of `a` are not alike"):
        await lab.run(lab.document("a"), accepted=(1,))
    lab.target.observed["a"] = there
    lab.target.lose("a")
    with pytest.raises(UsageError, match="step 1 cannot be accepted as it is: `a` is not running"):
        await lab.run(lab.document("a"), accepted=(1,))


class Built(Handoff):
    """What a build of the first version hands off."""

    image: str = ""


class BuiltForAll(Handoff):
    """That of the next one: `platforms` is what only its job knows."""

    version: ClassVar[int] = 2
    image: str = ""
    platforms: tuple[str, ...]


class Build(Playbook):
    """A step whose job writes what it hands off."""

    name = "build"
    summary = "Builds."
    gives: ClassVar[type[Handoff]] = Built
    script = """echo built >> "$COUNT"; printf '{"image": "app:1"}' > "$STEPFLOW_HANDOFF" """

    def __init__(self, count: Path) -> None:
        self.count = count

    def declare(self, step: StepInput) -> Declaration:
        del step
        return Declaration(jobs=(Job("build", ("sh", "-c", self.script), {"COUNT": str(self.count)}),))

    def handoff(self, step: StepInput) -> Handoff:
        return self.gives.model_construct(delivers=step.delivers)


class Ship(Playbook):
    """A step that needs all of what a build hands off."""

    name = "ship"
    summary = "Ships."
    takes = (Takes(Handoff, required=True),)
    fields: ClassVar[tuple[str, ...]] = ("image",)

    def declare(self, step: StepInput) -> Declaration:
        (taken,) = step.handoffs.values()
        words = " ".join(str(getattr(taken, name)) for name in self.fields)
        return Declaration(jobs=(Job("ship", ("echo", words)),))


PIPELINE = """\
# Lab

## Step 1: Build
- Playbook: build
- Prompt: go

## Step 2: Ship
- Playbook: ship
- Prompt: go
"""


async def test_handoff_type_that_the_recorded_one_does_not_fit_runs_its_step_again(lab: Lab) -> None:
    count = lab.folder / "count"
    build, ship = Build(count), Ship()
    lab.playbooks = {"build": build, "ship": ship}
    assert await lab.run(PIPELINE) == "succeeded"
    build.gives, ship.fields = BuiltForAll, ("image", "platforms")  # type: ignore[misc]
    assert await lab.run(PIPELINE) == "failed"
    why = "what the job wrote to `$STEPFLOW_HANDOFF` is not a BuiltForAll: `platforms`: Field required"
    assert lab.said(StepFinished)[0].error == why
    assert count.read_text() == "built\nbuilt\n"
    build.script = build.script.replace("app:1", 'app:1", "platforms": ["arm"], "image": "app:2')
    assert await lab.run(PIPELINE) == "succeeded"
    assert lab.outcomes() == {1: "done", 2: "done"}
    assert await lab.run(PIPELINE) == "succeeded"
    assert lab.outcomes() == {1: "reused", 2: "reused"}


async def test_outdated_handoff_is_the_reason_and_what_takes_it_waits_for_the_new_one(lab: Lab) -> None:
    build, ship = Build(lab.folder / "count"), Ship()
    lab.playbooks = {"build": build, "ship": ship}
    await lab.run(PIPELINE)
    build.gives, ship.fields = BuiltForAll, ("image", "platforms")  # type: ignore[misc]
    with Journal(lab.folder / "state/journal.db") as journal:
        first, second = (await lab.look(PIPELINE, journal)).plan.steps
    why = "what the job wrote to `$STEPFLOW_HANDOFF` is not a BuiltForAll: `platforms`: Field required"
    assert first.reasons == ("what it hands off is `BuiltForAll 2` now", f"its handoff no longer fits: {why}")
    assert (second.action, second.reasons) == ("blocked", ("re-run only if the handoff of step 1 changes",))


def recorded(lab: Lab) -> str:
    """Put what the first version left into the lab, and give the document."""
    (lab.folder / "state").mkdir()
    (lab.folder / "out").mkdir()
    for file in (RECORDED / "out").rglob("*.py"):
        target = lab.folder / "out" / file.relative_to(RECORDED / "out")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
    db = sqlite3.connect(lab.folder / "state/journal.db")
    db.executescript((RECORDED / "journal.sql").read_text().replace("{here}", str(lab.folder)))
    db.close()
    observed = json.loads((RECORDED / "observed.json").read_text())
    lab.target.observed = {
        name: replace(Observed(**told), handles=tuple(told["handles"])) for name, told in observed.items()
    }
    return (RECORDED / "workflow.md").read_text()


async def test_upgrade_renders_nothing_and_replaces_no_workload(lab: Lab) -> None:
    document = recorded(lab)
    before = dict(lab.target.observed)
    assert await lab.run(document) == "succeeded"
    assert {each.step: each.reasons for each in lab.said(StepFinished)} == dict.fromkeys(
        (1, 2, 3), ("unchanged and healthy: reused",)
    )
    assert lab.target.observed == before
    assert lab.target.applied == {}


async def test_upgrade_and_a_step_at_the_top_at_once_leave_the_others_alone(lab: Lab) -> None:
    recorded(lab)
    document = lab.document("new", "orders", "mail", "users<2,3", orders="- Replicas: 2")
    await lab.run(document)
    assert lab.outcomes() == {1: "done", 2: "reused", 3: "reused", 4: "reused"}
    assert lab.reasons(4) == ("unchanged and healthy: reused", "was step 3")
    assert lab.target.applied == {"new": 1}


async def test_playbook_is_asked_once_for_what_a_step_hands_off(lab: Lab) -> None:
    asked: list[int] = []

    class Counting(Build):
        def handoff(self, step: StepInput) -> Handoff:
            asked.append(step.number)
            return super().handoff(step)

    lab.playbooks = {"build": Counting(lab.folder / "count"), "ship": Ship()}
    assert await lab.run(PIPELINE) == "succeeded"
    assert asked == [1]
