"""The plan is printed text: what happens to each step and workload, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import pytest

from stepflow.plan import NOT_LOOKED_AT, Facts, FileDiff, Plan, Record, changes, decide, make_plan
from stepflow.targets.actions import Action

KEEP = Action("keep", "orders", "unchanged and ready", "orders")
CREATE = Action("create", "gateway-1", "it does not exist", "gateway")


def step(number: int, *relies: int, record: Record | None = None, **more: object) -> Facts:
    facts = Facts(
        number, f"Step {number}", "service", relies=relies, components={"playbook": "service 1"}, record=record
    )
    return replace(facts, **more)  # type: ignore[arg-type]


def done(components: Mapping[str, str] | None = None, seconds: float = 2.0) -> Record:
    return Record(1, "done", components or {"playbook": "service 1"}, seconds)


def plan(*facts: Facts, **more: object) -> Plan:
    return make_plan("shop", "local", facts, **more)  # type: ignore[arg-type]


def test_first_run_creates_everything_and_shows_features_files_waves_and_critical_path() -> None:
    gateway = step(
        1,
        actions=(CREATE,),
        features=(("mesh", "service mesh"), ("routing", "default")),
        files=FileDiff(new=12),
    )
    assert str(plan(gateway, step(2, 1), step(3), step(4, 2))) == (
        "plan for `shop` on local: 4 to run\n"
        "\n"
        "  1 Step 1                                     run\n"
        "      first run\n"
        '      features  mesh ("service mesh"), routing\n'
        "      files     12 new\n"
        "      create   gateway-1: it does not exist\n"
        "  2 Step 2                                     run\n"
        "      first run\n"
        "  3 Step 3                                     run\n"
        "      first run\n"
        "  4 Step 4                                     run\n"
        "      first run\n"
        "\n"
        "waves: 1 3 | 2 | 4\n"
        "critical path: 1 -> 2 -> 4\n"
    )


def test_unchanged_and_healthy_step_is_reused_and_says_so() -> None:
    facts = step(1, record=done(), actions=(KEEP,))
    assert str(plan(facts)) == (
        "plan for `shop` on local: 1 to reuse\n"
        "\n"
        "  1 Step 1                                     reuse\n"
        "      unchanged and healthy: reused\n"
        "\n"
        "waves: 1\n"
        "critical path: 1 (about 2.0 s)\n"
        "nothing to do\n"
    )


def test_what_was_not_looked_at_is_said_and_not_called_healthy() -> None:
    facts = step(1, record=done(), actions=(replace(KEEP, cause=NOT_LOOKED_AT),), unseen=True)
    assert str(plan(facts, unseen=True)) == (
        "plan for `shop` on local: 1 to reuse\n"
        "not looked at: planned from the last run's record\n"
        "\n"
        "  1 Step 1                                     reuse\n"
        "      unchanged, not looked at: reused\n"
        "\n"
        "waves: 1\n"
        "critical path: 1 (about 2.0 s)\n"
        "nothing to do, by the record\n"
    )


def test_step_without_anything_to_look_at_is_not_called_healthy() -> None:
    assert decide(step(1, record=done())).reasons == ("unchanged: reused",)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ({"field:replicas": "1"}, {"field:replicas": "2"}, "field `Replicas` changed 1 -> 2"),
        ({"field:query_timeout": "5"}, {"field:query_timeout": "8"}, "field `QueryTimeout` changed 5 -> 8"),
        ({"field:cpu_limits.a_b": "5"}, {}, "field `CpuLimits.a_b` removed 5"),
        ({}, {"field:replicas": "2"}, "field `Replicas` added 2"),
        ({"template:a/api.py": "x"}, {"template:a/api.py": "y"}, "what is rendered changed: a/api.py"),
        ({"template:a/api.py": "x"}, {}, "no longer rendered: a/api.py"),
        ({"playbook": "users 1"}, {"playbook": "users 2"}, "playbook changed users 1 -> users 2"),
        ({"target": "local"}, {"target": "docker"}, "target changed local -> docker"),
        ({"handoff:gateway.url": "a"}, {"handoff:gateway.url": "b"}, "handoff `gateway.url` changed"),
        ({}, {"feature:sms": "on"}, "feature `sms` selected"),
        ({"feature:sms": "on"}, {}, "feature `sms` no longer selected"),
        ({}, {"edited:a/api.py": "x"}, "edited by you: a/api.py"),
        ({"edited:a/api.py": "x"}, {}, "no longer edited by you: a/api.py"),
        ({"command": "x"}, {"command": "y"}, "command changed"),
        ({"env:STAGE": "x"}, {"env:STAGE": "y"}, "environment variable `STAGE` changed"),
        ({}, {r"handoff:shell.creates.dist/app\.gz": "x"}, "contents of `dist/app.gz` added"),
        ({r"handoff:shell.creates.a.creates.b": "x"}, {}, "contents of `a.creates.b` removed"),
        ({"gives": "Built 2"}, {}, "what it hands off is no longer `Built 2`"),
        ({"gives": "Built 2"}, {"gives": "Built 3"}, "what it hands off is `Built 3` now"),
        ({"template:a:b.py": "x"}, {"template:a:b.py": "y"}, "what is rendered changed: a:b.py"),
        ({"replicas:orders": "3"}, {}, "`orders` scaled 3 -> 1"),
        ({}, {"replicas:orders": "3"}, "`orders` scaled 1 -> 3"),
        ({"replicas:orders": "3"}, {"replicas:orders": "2"}, "`orders` scaled 3 -> 2"),
        ({}, {"option:base-image": "b:1"}, "option `base-image` set to b:1"),
        ({"option:base-image": "b:1"}, {"option:base-image": "b:2"}, "option `base-image` changed b:1 -> b:2"),
        ({"option:base-image": "b:1"}, {}, "option `base-image` no longer set"),
        ({"workload:orders": "x"}, {"workload:orders": "y"}, "workload `orders` changed"),
    ],
)
def test_changed_component_is_named(old: dict[str, str], new: dict[str, str], reason: str) -> None:
    assert changes(old, new) == [reason]


def test_many_changed_components_are_counted() -> None:
    new = {f"workload:{name}": "y" for name in "abcde"}
    added = [f"workload `{name}` added" for name in "abc"]
    assert changes({}, new) == [*added, "and 2 more changes"]
    assert changes({}, {f"workload:{name}": "y" for name in "abcd"}) == [*added, "and 1 more change"]


def test_many_rendered_files_that_changed_are_one_cause_with_their_number() -> None:
    old = {f"template:{name}.py": "x" for name in "abcdef"}
    new = {f"template:{name}.py": "y" for name in "bcdefgh"}
    assert changes(old, new | {"workload:orders": "z"}) == [
        "no longer rendered: a.py",
        "what is rendered changed: b.py, c.py, d.py and 2 more files",
        "rendered in addition: g.py, h.py",
        "and 1 more change",
    ]


@pytest.mark.parametrize(("count", "said"), [(3, "0, 1, 2"), (4, "0, 1, 2 and 1 more file")])
def test_up_to_three_rendered_files_are_named_and_one_more_is_a_file(count: int, said: str) -> None:
    new = {f"template:{number}": "y" for number in range(count)}
    assert changes({}, new) == [f"rendered in addition: {said}"]


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Action("create", "orders-2", "it does not exist", "orders"), "create `orders-2`: it does not exist"),
        (
            Action("replace", "orders-1", "its image changed", "orders", when="another image"),
            "replace `orders-1` if another image: its image changed",
        ),
        (Action("wait", "orders-1", "it is starting", "orders"), "wait `orders-1`: it is starting"),
    ],
)
def test_finished_step_for_which_something_is_to_be_done_runs_again_and_the_action_is_the_reason(
    action: Action, reason: str
) -> None:
    decided = decide(step(1, record=done(), actions=(KEEP, action)))
    assert (decided.action, decided.reasons) == ("rerun", (reason,))


def test_step_that_runs_again_for_another_reason_shows_what_is_kept_and_what_is_done() -> None:
    other = Action("replace", "sink-2", "its image changed", "sink", old="sink-1")
    found = plan(step(1, record=done({"template:README.md": "old"}), actions=(KEEP, other)))
    assert found.steps[0].reasons == ("playbook added service 1", "no longer rendered: README.md")
    assert "      keep     orders: unchanged and ready\n" in str(found)
    assert "      replace  sink-1 with sink-2: its image changed\n" in str(found)


def test_what_several_steps_want_is_planned_with_the_first_of_them() -> None:
    nats = Action("create", "nats", "it does not exist", "nats")
    found = plan(step(1, actions=(nats,)), step(2, record=done(), actions=(nats, KEEP)))
    assert [each.facts.actions for each in found.steps] == [(nats,), (KEEP,)]
    assert [each.action for each in found.steps] == ["run", "reuse"]


def test_failed_and_interrupted_steps_run_again_whatever_else_is_unchanged() -> None:
    for outcome, reason in (("failed", "failed in run 7"), ("interrupted", "was interrupted in run 7")):
        record = Record(7, outcome, {"playbook": "service 1"})  # type: ignore[arg-type]
        decided = decide(step(1, record=record))
        assert (decided.action, decided.reasons) == ("rerun", (reason,))


def test_what_does_not_hold_after_a_step_that_failed_is_not_one_more_reason() -> None:
    record = Record(7, "failed", {"playbook": "service 1"})
    assert decide(step(1, record=record, broken=("there is no `a`",), checked=True)).reasons == ("failed in run 7",)


@pytest.mark.parametrize(
    ("gone", "reason"), [(("a",), "1 rendered file is gone"), (("a", "b"), "2 rendered files are gone")]
)
def test_finished_step_whose_rendered_files_are_gone_runs_again_and_says_how_many(
    gone: tuple[str, ...], reason: str
) -> None:
    decided = decide(step(1, record=done(), files=FileDiff(new=len(gone), gone=gone)))
    assert (decided.action, decided.reasons) == ("rerun", (reason,))
    changed = step(1, record=done({"playbook": "service 0"}), files=FileDiff(new=len(gone), gone=gone))
    assert decide(changed).reasons == ("playbook changed service 0 -> service 1",)


def test_finished_step_whose_checks_are_asked_when_its_turn_comes_is_reused_on_that_condition() -> None:
    decided = decide(step(1, record=done(), unasked=True))
    assert (decided.action, decided.reasons) == ("reuse", ("unchanged: reused if its checks pass",))
    assert decided.facts.number == 1


def test_what_a_step_was_called_stands_behind_its_reasons() -> None:
    decided = decide(step(1, record=done(), note="was step 2, called `A`"))
    assert (decided.action, decided.reasons) == ("reuse", ("unchanged: reused", "was step 2, called `A`"))
    assert decided.facts.number == 1


def test_broken_postcondition_makes_a_finished_step_run_again() -> None:
    facts = step(1, record=done(), broken=("check `creates a` failed: there is no `a`",), checked=True)
    assert decide(facts).reasons == ("check `creates a` failed: there is no `a`",)


def test_step_that_takes_what_a_job_has_yet_to_write_is_decided_later() -> None:
    source = step(1, record=Record(1, "failed", {"playbook": "service 1"}), volatile=True)
    taker = step(2, 1, record=done(), takes=(1,))
    last = step(3, 2, record=done(), takes=(2,))
    found = plan(source, taker, last)
    assert [each.action for each in found.steps] == ["rerun", "blocked", "blocked"]
    assert found.steps[1].reasons == ("re-run only if the handoff of step 1 changes",)
    assert str(found).startswith("plan for `shop` on local: 1 to re-run, 2 to be decided\n")
    assert "become known" not in str(found)  # neither of the two that wait does anything
    unchanged = step(1, record=done(), volatile=True)
    assert [each.action for each in plan(unchanged, taker, last).steps] == ["reuse"] * 3


def test_actions_that_hang_on_what_others_hand_off_are_said_to_become_known_later() -> None:
    first, second = (step(n, record=Record(1, "failed", {}), volatile=True) for n in (1, 2))
    known_later = "      its actions become known when step 1 and step 2 have run"
    blocked = step(3, 1, 2, record=done(), takes=(1, 2), provisional=True)
    new = step(3, 1, 2, takes=(1, 2), provisional=True)
    assert str(plan(first, second, blocked).steps[2]).splitlines()[1:] == [
        "      re-run only if the handoff of step 1 and step 2 changes",
        known_later,
    ]
    assert str(plan(first, second, new).steps[2]).splitlines()[1:] == ["      first run", known_later]
    alone = step(2, 1, takes=(1,), provisional=True)
    one = "      its actions become known when step 1 has run"
    assert str(plan(first, alone).steps[1]).splitlines()[1:] == ["      first run", one]
    assert str(plan(first, second, replace(new, provisional=False)).steps[2]).splitlines()[1:] == ["      first run"]
    assert str(plan(step(1, record=done()), step(2, record=done()), new).steps[2]).splitlines()[1:] == [
        "      first run"
    ]


def test_step_is_not_run_again_only_because_one_that_it_relies_on_is() -> None:
    source = step(1, record=Record(1, "failed", {"playbook": "service 1"}))
    assert [each.action for each in plan(source, step(2, 1, record=done(), takes=(1,))).steps] == ["rerun", "reuse"]


@pytest.mark.parametrize(
    ("outcome", "run", "asked", "reasons"),
    [
        ("done", 1, 0, ["asked for"]),
        ("done", 1, 3, ["asked for in run 3, which did not finish it"]),
        ("done", 3, 3, ["asked for in run 3, which did not finish it"]),
        ("failed", 2, 3, ["failed in run 2", "asked for in run 3, which did not finish it"]),
        ("failed", 3, 3, ["failed in run 3"]),
        ("interrupted", 4, 3, ["was interrupted in run 4"]),
    ],
)
def test_step_that_was_asked_for_runs_again_until_it_did(
    outcome: Literal["done", "failed", "interrupted"], run: int, asked: int, reasons: list[str]
) -> None:
    decided = decide(step(1, record=Record(run, outcome, {"playbook": "service 1"}), asked=asked))
    assert (decided.action, [*decided.reasons]) == ("rerun", reasons)


def test_finished_step_that_reads_files_waits_for_those_before_it_that_may_write_them() -> None:
    source = step(1, record=Record(1, "failed", {"playbook": "service 1"}))
    reader, next_one = step(2, 1, record=done(), reads=True), step(3, 2, record=done(), reads=True)
    found = plan(source, reader, next_one, step(4, 3, record=done()))
    assert [(each.action, each.reasons, each.unknown) for each in found.steps[1:]] == [
        ("blocked", ("re-run only if step 1 changes the files that it reads",), (1,)),
        ("blocked", ("re-run only if step 2 changes the files that it reads",), (2,)),
        ("reuse", ("unchanged: reused",), ()),
    ]
    assert str(found.steps[1]).endswith("\n      re-run only if step 1 changes the files that it reads")
    assert [each.action for each in plan(step(1, record=done()), reader, next_one).steps] == ["reuse"] * 3


def test_checks_of_a_finished_step_are_asked_again_when_something_before_it_runs_however_far() -> None:
    source = step(1, record=Record(1, "failed", {"playbook": "service 1"}))
    second, third = (step(n, n - 1, record=done(), checked=True) for n in (2, 3))
    changed = step(4, 3, record=done({"playbook": "service 0"}), checked=True)
    assert [(each.action, each.reasons) for each in plan(source, second, third, changed).steps[1:]] == [
        ("reuse", ("unchanged: reused if its checks pass",)),
        ("reuse", ("unchanged: reused if its checks pass",)),
        ("rerun", ("playbook changed service 0 -> service 1",)),
    ]
    healthy = plan(step(1, record=done()), second, third)
    assert [each.reasons for each in healthy.steps[1:]] == [("unchanged and healthy: reused",)] * 2


def test_what_was_not_answered_in_time_is_said_of_a_step_that_is_reused() -> None:
    late = ("check `a` was not answered", "check `b` was not answered")
    decided = decide(step(1, record=done(), late=late, checked=True))
    said = "unchanged and ready, check `a` was not answered and check `b` was not answered: reused"
    assert (decided.action, decided.reasons) == ("reuse", (said,))


def test_workload_that_no_step_declares_any_more_is_removed() -> None:
    found = plan(
        step(1, record=done()), removals=(Action("remove", "old-1", "its step is gone from the document", "old"),)
    )
    assert not found.idle
    assert str(found) == (
        "plan for `shop` on local: 1 to reuse\n"
        "\n"
        "  1 Step 1                                     reuse\n"
        "      unchanged: reused\n"
        "    no step declares these any more\n"
        "      remove   old-1: its step is gone from the document\n"
        "\n"
        "waves: 1\n"
        "critical path: 1 (about 2.0 s)\n"
    )


@pytest.mark.parametrize("documents", [FileDiff(new=1, removed=2), "an error of the playbook"])
def test_files_about_the_whole_platform_stand_behind_the_steps(documents: FileDiff | str) -> None:
    found = plan(step(1, record=done()), documents=documents)
    assert not found.idle
    assert f"      unchanged: reused\n    the whole platform\n      files     {documents}\n\nwaves: 1\n" in str(found)


def test_files_about_the_whole_platform_that_stay_are_not_mentioned() -> None:
    found = plan(step(1, record=done()), documents=FileDiff(same=3))
    assert found.idle
    assert "      unchanged: reused\n\nwaves: 1\n" in str(found)


def test_files_of_steps_that_are_gone_are_counted_and_make_a_plan_that_does_something() -> None:
    found = plan(step(1, record=done()), left_over=2)
    assert not found.idle
    left = "    no step renders these any more\n      files     2 removed\n"
    assert f"      unchanged: reused\n{left}\nwaves: 1\n" in str(found)


def test_document_without_steps_has_nothing_to_do() -> None:
    empty = "plan for `shop` on local: no steps\n\n\nwaves: \ncritical path: \nnothing to do\n"
    assert str(plan()) == empty


def test_forced_step_runs_again() -> None:
    assert plan(step(1, record=done(), asked=0)).steps[0].reasons == ("asked for",)


def test_critical_path_is_the_one_that_took_longest_whatever_the_numbers_of_its_steps() -> None:
    quick, slow = done(seconds=1), done(seconds=9)
    middle, last = step(3, 1, record=slow), step(4, 2, 3, record=quick)
    found = plan(step(1, record=quick), step(2, 1, record=quick), middle, last)
    assert (found.critical_path, found.seconds) == ((1, 3, 4), 11)
    found = plan(step(1, record=quick), step(2, 1, record=slow), step(3, 1, record=quick), last)
    assert (found.critical_path, found.seconds) == ((1, 2, 4), 11)
    found = plan(step(1, record=slow), step(2, record=quick))
    assert (found.critical_path, found.seconds) == ((1,), 9)


def test_a_dependency_cycle_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^dependency cycle: (1 → 2 → 1|2 → 1 → 2)$"):
        plan(step(1, 2), step(2, 1))


def test_file_diff_names_conflicts_and_counts_the_rest() -> None:
    diff = FileDiff(new=1, changed=2, same=3, edited=("a",), conflicts=("b/c.py",), removed=4)
    assert str(diff) == "1 new, 2 changed, 4 removed, 1 kept as you edited them, conflict in b/c.py"
    assert (str(FileDiff(same=3)), str(FileDiff())) == ("unchanged", "")
