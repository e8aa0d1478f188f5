"""A run on a target in memory: what is done, in which order, what is said, and what is left alone the next time."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from stepflow.engine import past
from stepflow.errors import PermanentError, TemporaryError
from stepflow.events import Checked, Notice, PhaseStarted, Retrying, RunFinished, StepFinished, StepStarted, Waiting
from stepflow.handoff import ServerFile, ServiceHandoff
from stepflow.journal import Journal
from stepflow.playbook import Check
from stepflow.workload import Server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.unit.conftest import Lab

    from stepflow.targets.actions import Action
    from stepflow.targets.contract import Desired, Progress, Snapshot
    from stepflow.workload import CheckContext, Live


async def answer() -> str:
    return "200 OK"


async def no() -> str:
    raise PermanentError("it answers 500")


async def test_second_run_finds_everything_as_it_should_be_and_does_nothing(lab: Lab) -> None:
    lab.world.answers["a up"] = answer
    text = lab.document("a", "b<1", "c<1,2")
    assert await lab.run(text) == "succeeded"
    assert lab.outcomes() == {1: "done", 2: "done", 3: "done"}
    assert await lab.run(text) == "succeeded"
    assert lab.outcomes() == {1: "reused", 2: "reused", 3: "reused"}
    assert lab.reasons(1) == ("unchanged and healthy: reused",)
    assert lab.said(PhaseStarted) == []
    assert lab.target.applied == {"a": 1, "b": 1, "c": 1}


async def test_independent_steps_run_at_once_and_no_more_than_allowed(lab: Lab) -> None:
    running, most, full = 0, 0, asyncio.Event()

    async def slow() -> str:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        if most == 3:
            full.set()
        await full.wait()
        await asyncio.sleep(0.02)  # in which another one could come
        running -= 1
        return "ok"

    lab.world.answers = {f"{name} up": slow for name in "abcd"}
    await lab.run(lab.document("a", "b", "c", "d"), jobs=3)
    assert most == 3


async def test_failure_skips_what_relies_on_it_and_lets_other_branches_go_on(lab: Lab) -> None:
    lab.target.fail("a", PermanentError("port 8080 is taken", hint="free it"))
    assert await lab.run(lab.document("a", "b<1", "c<2", "d"), resume="stepflow resume") == "failed"
    assert lab.outcomes() == {1: "failed", 2: "skipped", 3: "skipped", 4: "done"}
    failed, *skipped = (event for event in lab.said(StepFinished) if event.outcome != "done")
    assert (failed.error, failed.hint) == ("port 8080 is taken", "free it")
    assert [event.because for event in skipped] == [1, 1]
    assert lab.said(RunFinished)[0].resume == "stepflow resume"
    assert await lab.run(lab.document("a", "b<1", "c<2", "d")) == "succeeded"
    assert lab.outcomes() == {1: "done", 2: "done", 3: "done", 4: "reused"}
    assert lab.reasons(1) == ("failed in run 1",)


async def test_fail_fast_stops_the_other_branches(lab: Lab) -> None:
    async def forever() -> str:
        await asyncio.Event().wait()
        return ""

    lab.target.fail("a")
    lab.world.answers["b up"] = forever
    assert await lab.run(lab.document("a", "b", "c<1"), fail_fast=True) == "failed"
    assert lab.outcomes() == {1: "failed", 2: "stopped", 3: "skipped"}


async def test_what_may_pass_is_tried_again_after_a_delay(lab: Lab) -> None:
    lab.target.fail("a", TemporaryError("not yet", delay=0.01), TemporaryError("not yet", delay=0.01))
    assert await lab.run(lab.document("a")) == "succeeded"
    told = [(event.attempt, event.reason, event.delay) for event in lab.said(Retrying)]
    assert told == [(2, "not yet", 0.01), (3, "not yet", 0.01)]
    assert (lab.outcomes(), lab.target.applied) == ({1: "done"}, {"a": 1})


async def test_check_is_asked_until_its_deadline_and_says_what_the_last_answer_was(lab: Lab) -> None:
    asked = []

    async def not_yet() -> str:
        asked.append("a up")
        raise TemporaryError("503 Service Unavailable")

    lab.world.answers["a up"] = not_yet
    lab.world.patience = 0.4
    assert await lab.run(lab.document("a")) == "failed"
    assert lab.said(StepFinished)[0].error == "check `a up` failed: timeout after 0.4 s: 503 Service Unavailable"
    waited = [(event.waiting_for, event.answer) for event in lab.said(Waiting) if "check" in event.waiting_for]
    assert waited[0] == ("check `a up`", "503 Service Unavailable")
    assert len(asked) > 1


async def test_changed_field_runs_its_step_again_and_only_that(lab: Lab) -> None:
    await lab.run(lab.document("a", "b<1"))
    await lab.run(lab.document("a", "b<1", a="- Replicas: 2"))
    assert lab.reasons(1)[0] == "field `Replicas` changed 1 -> 2"
    assert lab.outcomes() == {1: "done", 2: "reused"}


async def test_another_number_of_copies_replaces_none_of_them(lab: Lab) -> None:
    for count in ("1", "3", "2"):
        await lab.run(lab.document("a", a=f"- Replicas: {count}"))
        assert lab.target.observed["a"].replicas == int(count)
    assert lab.reasons(1) == ("field `Replicas` changed 3 -> 2", "`a` scaled 3 -> 2")
    assert lab.target.applied == {"a": 1}
    await lab.run(lab.document("a", a="- Replicas: 2"))
    assert lab.outcomes() == {1: "reused"}


async def test_changed_handoff_runs_those_again_that_take_it(lab: Lab) -> None:
    await lab.run(lab.document("a", "b<1", "c<2"))
    await lab.run(lab.document("a", "b<1", "c<2", a="- Port: admin"))
    assert lab.outcomes() == {1: "done", 2: "done", 3: "reused"}
    assert lab.reasons(2) == ("handoff `service.endpoint.port` changed",)


async def test_changed_template_is_rendered_and_its_workload_replaced(lab: Lab) -> None:
    await lab.run(lab.document("a"))
    lab.world.template = b"x = 2\n"
    await lab.run(lab.document("a"))
    assert lab.reasons(1) == ("what is rendered changed: a/app.py",)
    assert (lab.folder / "out/a/app.py").read_bytes() == b"x = 2\n"
    assert lab.target.applied == {"a": 2}


async def test_file_that_the_user_edited_is_kept_and_its_workload_replaced(lab: Lab) -> None:
    await lab.run(lab.document("a", "b"))
    (lab.folder / "out/a/app.py").write_bytes(b"mine = True\n")
    await lab.run(lab.document("a", "b"))
    assert lab.reasons(1) == ("edited by you: a/app.py",)
    assert (lab.folder / "out/a/app.py").read_bytes() == b"mine = True\n"
    assert lab.target.applied == {"a": 2, "b": 1}
    await lab.run(lab.document("a", "b"))
    assert set(lab.outcomes().values()) == {"reused"}


async def test_rendered_file_that_was_deleted_is_written_again_and_its_workload_left_alone(lab: Lab) -> None:
    await lab.run(lab.document("a", "b"))
    (lab.folder / "out/b/app.py").unlink()
    await lab.run(lab.document("a", "b"))
    assert (lab.outcomes(), lab.reasons(2)) == ({1: "reused", 2: "done"}, ("1 rendered file is gone",))
    assert (lab.folder / "out/b/app.py").exists()
    assert lab.target.applied == {"a": 1, "b": 1}


async def test_workload_that_died_is_repaired_though_the_record_says_it_is_done(lab: Lab) -> None:
    await lab.run(lab.document("a", "b"))
    lab.target.lose("b")
    await lab.run(lab.document("a", "b"))
    assert lab.outcomes() == {1: "reused", 2: "done"}
    assert lab.reasons(2) == ("restart `b`: it is stopped",)
    assert (lab.target.observed["b"].state, lab.target.applied) == ("ready", {"a": 1, "b": 2})


async def test_step_whose_postcondition_no_longer_holds_runs_again(lab: Lab) -> None:
    lab.world.answers["a up"] = answer
    await lab.run(lab.document("a"))
    lab.world.answers["a up"] = no
    assert await lab.run(lab.document("a")) == "failed"
    assert [event.phase for event in lab.said(PhaseStarted)] == ["render", "deploy", "verify"]
    said = "check `a up` failed: it answers 500"
    assert [event.reasons for event in lab.said(StepStarted)] == [(said,)]
    assert lab.said(StepFinished)[0].error == said


async def test_workload_that_dies_while_another_step_runs_is_created_again_when_its_turn_comes(lab: Lab) -> None:
    async def loses() -> str:
        if "b" in lab.target.observed:
            lab.target.lose("b")
        return "ok"

    lab.world.answers["a up"] = answer
    await lab.run(lab.document("a", "b<1"))
    lab.world.answers["a up"] = loses
    await lab.run(lab.document("a", "b<1", a="- Replicas: 2"))
    assert lab.outcomes() == {1: "done", 2: "done"}
    assert lab.reasons(2) == ("restart `b`: it is stopped",)
    assert (lab.target.observed["b"].state, lab.target.applied) == ("ready", {"a": 1, "b": 2})


async def test_checks_of_what_runs_wait_until_what_is_down_was_seen_to_and_the_plan_says_so(lab: Lab) -> None:
    asked: list[str] = []

    async def counted() -> str:
        asked.append(lab.target.observed["b"].state)
        return "ok"

    lab.world.answers["a up"] = counted
    await lab.run(lab.document("b", "a<1"))
    asked.clear()
    lab.target.lose("b")
    with Journal(lab.folder / "state/journal.db") as journal:
        found = await lab.look(lab.document("b", "a<1"), journal)
    assert (asked, found.plan.steps[1].reasons) == ([], ("unchanged: reused if its checks pass",))
    await lab.run(lab.document("b", "a<1"))
    assert (lab.outcomes(), asked) == ({1: "done", 2: "reused"}, ["ready"])


async def test_workload_of_a_step_that_is_gone_is_removed_and_shared_files_stay(lab: Lab) -> None:
    await lab.run(lab.document("a", "b"))
    await lab.run(lab.document("a"))
    assert set(lab.target.observed) == {"a"}
    assert [event.message for event in lab.said(Notice)] == [
        "removed `b`: its step is gone from the document",
        "removed 1 file that no step renders any more",
    ]
    assert (lab.folder / "out/chassis/lib.py").exists()
    assert not (lab.folder / "out/b").exists()


async def test_server_that_no_step_needs_any_more_is_removed_and_comes_back_with_its_step(lab: Lab) -> None:
    lab.world.servers = {"a": (Server("nats"), Server("valkey")), "b": (Server("nats"), Server("postgres"))}
    lab.world.env = {"a": {"CACHE": ServerFile("valkey")}}
    await lab.run(lab.document("a", "b"))
    lab.world.servers = {**lab.world.servers, "a": (Server("nats"),)}  # that it refers to another is enough
    with Journal(lab.folder / "state/journal.db") as journal:
        found = await lab.look(lab.document("a"), journal)
    assert [str(each) for each in found.plan.removals] == [
        "remove   b: its step is gone from the document",
        "remove   postgres: no step needs it any more; its data stays",
    ]
    await lab.run(lab.document("a"))
    assert set(lab.target.observed) == {"a", "nats", "valkey"}
    assert [event.message for event in lab.said(Notice)][-2] == (
        "removed `postgres`: no step needs it any more; its data stays"
    )
    await lab.run(lab.document("a", "b"))
    assert set(lab.target.observed) == {"a", "b", "nats", "postgres", "valkey"}


@pytest.mark.parametrize("jobs", [1, 8])
async def test_server_that_another_step_is_to_repair_is_not_a_reason_to_run_a_step_again(lab: Lab, jobs: int) -> None:
    lab.world.servers = {"a": (Server("nats"),), "b": (Server("nats"),)}
    await lab.run(lab.document("a", "b"))
    lab.target.lose("nats")
    apply, look, looks, looked = lab.target.apply, lab.target.observe, itertools.count(1), asyncio.Event()

    async def observe() -> Snapshot:
        if next(looks) > 1:  # the first one is the plan's
            looked.set()
        return await look()

    async def slowly(desired: Desired, progress: Callable[[Progress], None]) -> tuple[Action, ...]:
        if jobs > 1:  # the other step looks while this one is at work
            await looked.wait()
        return await apply(desired, progress)

    lab.target.observe, lab.target.apply = observe, slowly  # type: ignore[method-assign]
    assert await lab.run(lab.document("a", "b"), jobs=jobs) == "succeeded"
    assert lab.outcomes() == {1: "done", 2: "reused"}
    assert lab.target.applied == {"a": 1, "b": 1, "nats": 2}


async def test_what_a_failed_step_keeps_from_being_removed_is_said_and_removed_later(lab: Lab) -> None:
    lab.world.servers = {"b": (Server("nats"),)}
    await lab.run(lab.document("a", "b", "c"))
    lab.target.lose("a")
    lab.target.fail("a")
    assert await lab.run(lab.document("a")) == "failed"
    later = "`stepflow resume` removes them once all steps are done"
    assert [event.message for event in lab.said(Notice)] == [
        f"`b` and `c` and `nats` stay: step 1 failed; {later}",
        f"2 files that no step renders any more stay: step 1 failed; {later}",
    ]
    assert set(lab.target.observed) == {"a", "b", "c", "nats"}
    assert await lab.run(lab.document("a")) == "succeeded"
    assert set(lab.target.observed) == {"a"}


async def test_expected_outcomes_are_answered_with_evidence_and_unanswered_ones_are_said(lab: Lab) -> None:
    lab.world.answers = {"a mesh": answer, "b mesh": answer}
    lab.world.proves = {"a mesh": "service mesh", "b mesh": "Service-Mesh"}
    text = lab.document("a", "b", outcomes=("Service mesh with API gateway", "World peace"))
    assert await lab.run(text) == "succeeded"
    mesh, peace = lab.said(RunFinished)[0].outcomes
    assert (mesh.verdict, mesh.evidence) == ("verified", ("a mesh: 200 OK", "b mesh: 200 OK"))
    assert (peace.verdict, peace.evidence) == ("not verified", ("no step's playbook checks this",))
    assert await lab.run(text) == "succeeded"
    assert lab.said(Checked) == []
    assert lab.said(RunFinished)[0].outcomes[0].run == 1


async def test_outcome_that_fails_fails_the_run(lab: Lab) -> None:
    lab.world.answers, lab.world.proves = {"a mesh": no}, {"a mesh": "mesh"}
    assert await lab.run(lab.document("a", outcomes=("Service mesh",))) == "failed"
    assert lab.said(RunFinished)[0].outcomes[0].evidence == ("a mesh: it answers 500",)


async def test_outcome_that_failed_is_asked_again_though_nothing_else_is_to_do(lab: Lab) -> None:
    lab.world.answers, lab.world.proves = {"a mesh": answer}, {"a mesh": "mesh"}
    text = lab.document("a", "b", outcomes=("Service mesh",))
    assert await lab.run(text) == "succeeded"
    lab.target.lose("b")
    lab.world.answers = {"a mesh": no}
    assert await lab.run(text) == "failed"
    for passes, how in ((False, no), (True, answer)):
        lab.world.answers = {"a mesh": how}
        assert await lab.run(text) == ("succeeded" if passes else "failed")
        assert lab.outcomes() == {1: "reused", 2: "reused"}
        assert [(event.check, event.passed) for event in lab.said(Checked)] == [("a mesh", passes)]
    assert lab.said(RunFinished)[0].outcomes[0].run == 4


async def test_step_check_that_speaks_of_an_outcome_answers_it(lab: Lab) -> None:
    lab.world.answers, lab.world.proves = {"a up": answer}, {}
    service = lab.service()
    quick = Check("image", service._asked("a up"), ("containerized",))
    lab.world.extra = (quick,)
    assert await lab.run(lab.document("a", outcomes=("Containerized microservices",))) == "succeeded"
    assert lab.said(RunFinished)[0].outcomes[0].evidence == ("image: 200 OK",)


async def test_check_whose_workloads_no_one_declares_is_not_asked_and_the_outcome_says_why(lab: Lab) -> None:
    async def never(live: Live) -> str:
        raise AssertionError(live.target)

    lab.world.answers = {"a up": answer}
    far = Check("one order", never, ("event-driven",), when="run", needs=("a", "orders", "payments"))
    near = Check("one service", lab.service()._asked("a up"), ("mesh",), when="run", needs=("a",))
    lab.world.extra = (far, near)
    assert await lab.run(lab.document("a", outcomes=("Event-driven communication", "Service mesh"))) == "succeeded"
    events, mesh = lab.said(RunFinished)[0].outcomes
    why = "one order: needs `orders` and `payments`, which no step of this document runs"
    assert (events.verdict, events.evidence) == ("not verified", (why,))
    assert mesh.verdict == "verified"


async def test_step_check_sees_what_its_step_takes_and_a_journey_what_all_steps_hand_off(lab: Lab) -> None:
    seen: dict[str, list[str]] = {}

    def noting(name: str) -> Callable[[CheckContext], Awaitable[str]]:
        async def note(context: CheckContext) -> str:
            services = [each.service for each in context.handoffs if isinstance(each, ServiceHandoff)]
            seen[f"{name} {services[-1]}" if name == "step" else name] = services
            return "seen"

        return note

    lab.world.extra = (Check("step", noting("step")), Check("run", noting("run"), when="run"))
    assert await lab.run(lab.document("a", "b", "c<1")) == "succeeded"
    assert seen == {"step a": ["a"], "step b": ["b"], "step c": ["a", "c"], "run": ["a", "b", "c"]}
    seen.clear()
    assert await lab.run(lab.document("a", "b", "c<1")) == "succeeded"  # reused: postconditions alone
    assert seen == {"step a": ["a"], "step b": ["b"], "step c": ["a", "c"]}


async def test_journey_that_no_outcome_names_still_fails_the_run(lab: Lab) -> None:
    lab.world.answers, lab.world.proves = {"a mesh": no}, {"a mesh": "mesh"}
    assert await lab.run(lab.document("a")) == "failed"
    assert [each.text for each in lab.said(RunFinished)[0].outcomes] == ["a mesh"]


async def test_journal_names_what_a_run_set_out_to_make_before_it_is_made(lab: Lab) -> None:
    lab.target.fail("a")
    await lab.run(lab.document("a"))
    with Journal(lab.folder / "state/journal.db", read_only=True) as journal:
        assert past(journal, lab.folder / "out").workloads == {"a"}
