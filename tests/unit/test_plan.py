"""The plan is printed text: what happens to each step and workload, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from stepflow.changes import changes
from stepflow.plan import Facts, FileDiff, Plan, Record, Seen, decide, make_plan

UP = Seen("ready", "digest")


def step(number: int, *relies: int, record: Record | None = None, **more: object) -> Facts:
    facts = Facts(
        number, f"Step {number}", "service", relies=relies, components={"playbook": "service 1"}, record=record
    )
    return replace(facts, **more)  # type: ignore[arg-type]


def done(components: Mapping[str, str] | None = None, seconds: float = 2.0) -> Record:
    return Record(1, "done", components or {"playbook": "service 1"}, seconds)


def plan(*facts: Facts, seen: Mapping[str, Seen] | None = None, **more: object) -> Plan:
    return make_plan("shop", "local", facts, seen or {}, **more)  # type: ignore[arg-type]


def test_first_run_creates_everything_and_shows_features_files_waves_and_critical_path() -> None:
    gateway = step(
        1,
        workloads={"gateway": "digest"},
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
        "      create    gateway: first run\n"
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
    facts = step(1, record=done(), workloads={"orders": "digest"})
    assert str(plan(facts, seen={"orders": UP})) == (
        "plan for `shop` on local: 1 to reuse\n"
        "\n"
        "  1 Step 1                                     reuse\n"
        "      unchanged and healthy: reused\n"
        "\n"
        "waves: 1\n"
        "critical path: 1 (about 2.0 s)\n"
        "nothing to do\n"
    )


def test_step_without_anything_to_look_at_is_not_called_healthy() -> None:
    assert decide(step(1, record=done()), {}).reasons == ("unchanged: reused",)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ({"field:replicas": "1"}, {"field:replicas": "2"}, "field `replicas` changed 1 -> 2"),
        ({}, {"field:replicas": "2"}, "field `replicas` added 2"),
        ({"template:a/api.py": "x"}, {"template:a/api.py": "y"}, "template changed: a/api.py"),
        ({"template:a/api.py": "x"}, {}, "template removed: a/api.py"),
        ({"playbook": "users 1"}, {"playbook": "users 2"}, "playbook changed users 1 -> users 2"),
        ({"target": "local"}, {"target": "docker"}, "target changed local -> docker"),
        ({"handoff:gateway.url": "a"}, {"handoff:gateway.url": "b"}, "handoff `gateway.url` changed"),
        ({}, {"feature:sms": "on"}, "feature `sms` selected"),
        ({"feature:sms": "on"}, {}, "feature `sms` no longer selected"),
        ({}, {"edited:a/api.py": "x"}, "edited by you: a/api.py"),
        ({"edited:a/api.py": "x"}, {}, "no longer edited by you: a/api.py"),
        ({"command": "x"}, {"command": "y"}, "command changed"),
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
    new = {f"template:{name}.py": "y" for name in "abcde"}
    assert changes({}, new) == [
        "template added: a.py", "template added: b.py", "template added: c.py", "and 2 more changes",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "reason", "operation"),
    [
        ({}, "workload `orders` is not there", "create    orders: workload `orders` is not there"),
        (
            {"orders": Seen("failed", "digest", "exited with 1")},
            "workload `orders` is down: exited with 1",
            "recreate  orders: exited with 1",
        ),
        (
            {"orders": Seen("ready", "other")},
            "workload `orders` was made from something else",
            "recreate  orders: workload `orders` was made from something else",
        ),
    ],
)
def test_finished_step_whose_workload_is_not_as_it_was_left_runs_again(
    seen: dict[str, Seen], reason: str, operation: str
) -> None:
    decided = decide(step(1, record=done(), workloads={"orders": "digest"}), seen)
    assert (decided.action, decided.reasons, str(decided.operations[0])) == ("rerun", (reason,), operation)


def test_workload_that_stands_is_kept_while_its_step_runs_again() -> None:
    facts = step(1, record=done({"template:README.md": "old"}), workloads={"orders": "digest", "sink": "digest"})
    decided = decide(facts, {"orders": UP, "sink": Seen("ready", "old")})
    assert [str(each) for each in decided.operations] == [
        "keep      orders: unchanged and healthy",
        "recreate  sink: playbook added service 1",
    ]


def test_another_number_of_copies_is_a_scaling_and_no_replacement() -> None:
    facts = step(1, record=done(), workloads={"orders": "digest"}, replicas={"orders": 3})
    decided = decide(facts, {"orders": Seen("ready", "digest", replicas=2)})
    assert decided.reasons == ("workload `orders` has another number of copies: 2 instead of 3",)
    assert [str(each) for each in decided.operations] == ["scale     orders: 2 to 3"]
    assert decide(facts, {"orders": Seen("ready", "digest", replicas=3)}).action == "reuse"


def test_other_copies_that_are_made_from_something_else_too_are_replaced() -> None:
    facts = step(1, record=done(), workloads={"orders": "new"}, replicas={"orders": 3})
    decided = decide(facts, {"orders": Seen("ready", "digest", replicas=2)})
    assert [each.verb for each in decided.operations] == ["recreate"]


def test_server_is_created_kept_and_brought_back_by_the_step_that_wants_it_first() -> None:
    first = plan(step(1, servers=("nats",)))
    assert [str(each) for each in first.steps[0].operations] == ["create    nats: first run"]
    facts = step(1, record=done(), servers=("nats",))
    assert decide(facts, {"nats": Seen("ready", "")}).reasons == ("unchanged and healthy: reused",)
    gone = decide(facts, {})
    assert (gone.action, gone.reasons) == ("rerun", ("server `nats` is not there",))
    down = decide(facts, {"nats": Seen("failed", "", "exited with 1")})
    assert down.reasons == ("server `nats` is down: exited with 1",)
    assert [str(each) for each in down.operations] == ["recreate  nats: exited with 1"]


def test_server_is_replaced_for_another_image_of_its_own_and_kept_for_that_of_another() -> None:
    facts = step(1, record=done(), servers=("nats", "postgres"))
    parts = {"playbook": "service 1", "option:image.nats": "n:2"}
    decided = decide(replace(facts, components=parts), {"nats": Seen("ready", ""), "postgres": Seen("ready", "")})
    assert [str(each) for each in decided.operations] == [
        "recreate  nats: option `image.nats` set to n:2",
        "keep      postgres: unchanged and healthy",
    ]


def test_failed_and_interrupted_steps_run_again_whatever_else_is_unchanged() -> None:
    for outcome, reason in (("failed", "failed in run 7"), ("interrupted", "was interrupted in run 7")):
        record = Record(7, outcome, {"playbook": "service 1"})  # type: ignore[arg-type]
        assert decide(step(1, record=record), {}).reasons == (reason,)


def test_broken_postcondition_makes_a_finished_step_run_again() -> None:
    facts = step(1, record=done(), broken=("check `creates a` failed: there is no `a`",), checked=True)
    assert decide(facts, {}).reasons == ("check `creates a` failed: there is no `a`",)


def test_step_that_takes_what_a_job_has_yet_to_write_is_decided_later() -> None:
    source = step(1, record=Record(1, "failed", {"playbook": "service 1"}), volatile=True)
    taker = step(2, 1, record=done(), takes=(1,))
    last = step(3, 2, record=done(), takes=(2,))
    found = plan(source, taker, last)
    assert [each.action for each in found.steps] == ["rerun", "blocked", "blocked"]
    assert found.steps[1].reasons == ("re-run only if the handoff of step 1 changes",)


def test_step_is_not_run_again_only_because_one_that_it_relies_on_is() -> None:
    source = step(1, record=Record(1, "failed", {"playbook": "service 1"}))
    assert [each.action for each in plan(source, step(2, 1, record=done(), takes=(1,))).steps] == ["rerun", "reuse"]


def test_workload_that_no_step_declares_any_more_is_removed() -> None:
    found = plan(step(1, record=done()), orphans=("old-service",))
    assert not found.idle
    assert "      remove    old-service: its step is gone from the document\n" in str(found)


def test_forced_step_runs_again() -> None:
    assert plan(step(1, record=done()), forced={1}).steps[0].reasons == ("asked for",)


def test_critical_path_is_the_one_that_took_longest() -> None:
    quick, slow = done(seconds=1), done(seconds=9)
    facts = (step(1, record=quick), step(2, 1, record=quick), step(3, 1, record=slow), step(4, 2, 3, record=quick))
    found = plan(*facts)
    assert (found.critical_path, found.seconds) == ((1, 3, 4), 11)


def test_steps_in_a_circle_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"steps rely on each other in a circle: \d -> \d -> \d"):
        plan(step(1, 2), step(2, 1))


def test_file_diff_names_conflicts_and_counts_the_rest() -> None:
    diff = FileDiff(new=1, changed=2, same=3, edited=("a",), conflicts=("b/c.py",))
    assert str(diff) == "1 new, 2 changed, 1 kept as you edited them, conflict in b/c.py"
    assert (str(FileDiff(same=3)), str(FileDiff())) == ("unchanged", "")
