"""What a target that makes each workload in one go does about it, as it is printed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from stepflow.errors import PermanentError
from stepflow.targets.actions import Action
from stepflow.targets.contract import Desired, Observed, Progress, discard
from stepflow.targets.converge import Answer, LateError, Locks, Say, converge, pruned, wait, whole
from stepflow.workload import PRODUCTION, Declaration, HttpProbe, Production, Server, Workload

ORDERS = Workload("orders", ("python",), HttpProbe("/"), replicas=2)
UP = Observed("orders", "workload", "ready", "d1", 2, 2, "", ())
NATS = Observed("nats", "server", "ready", "", 1, 1, "", ())


def printed(*observed: Observed, digest: str = "d1") -> list[str]:
    desired = Desired(Declaration((ORDERS,), (Server("nats"), Server("nats"))), {"orders": digest})
    return [str(each) for each in whole(desired, {each.name: each for each in observed})]


def test_what_does_not_exist_is_created_a_server_once() -> None:
    assert printed() == ["create   nats: it does not exist", "create   orders: it does not exist"]


def test_what_is_as_desired_is_kept() -> None:
    assert printed(NATS, UP) == ["keep     nats: unchanged and ready", "keep     orders: unchanged and ready"]


def test_another_digest_is_replaced_whatever_else_differs() -> None:
    other = replace(UP, state="failed", replicas=3)
    assert printed(NATS, other, digest="d2")[1] == "replace  orders: what it is made from changed"


def test_what_is_down_is_restarted_and_it_is_said_why() -> None:
    down = replace(UP, state="failed", detail="exited with code 1")
    assert printed(replace(NATS, state="stopped"), down) == [
        "restart  nats: it is stopped",
        "restart  orders: exited with code 1",
    ]


def test_another_number_of_copies_is_a_scaling_and_what_is_starting_is_waited_for() -> None:
    assert printed(NATS, replace(UP, replicas=1))[1] == "scale    orders: it has 1 copy instead of 2"
    starting = replace(UP, state="starting", detail="GET / answers 503")
    assert printed(NATS, starting)[1] == "wait     orders: GET / answers 503"
    assert printed(NATS, replace(UP, state="starting"))[1] == "wait     orders: it is starting"
    assert printed(NATS, replace(UP, replicas=3))[1] == "scale    orders: it has 3 copies instead of 2"


def test_what_it_is_made_from_is_not_compared_where_that_is_not_known() -> None:
    assert printed(NATS, replace(UP, digest="d0"), digest="")[1] == "keep     orders: unchanged and ready"
    unknown = Desired(Declaration((ORDERS,)))
    assert [each.verb for each in whole(unknown, {"orders": UP})] == ["keep"]


@pytest.mark.parametrize(
    "there",
    [
        None,
        replace(UP, digest="d0"),
        replace(UP, state="failed"),
        replace(UP, replicas=1),
        replace(UP, state="starting"),
        UP,
    ],
)
def test_each_action_belongs_to_its_workload(there: Observed | None) -> None:
    desired = Desired(Declaration((ORDERS,)), {"orders": "d1"})
    assert [each.owner for each in whole(desired, {"orders": there} if there else {})] == ["orders"]


def test_what_nothing_declares_any_more_is_removed_where_it_is_there_each_with_its_cause() -> None:
    causes = {"search": "its step is gone", "orders": "its step declares it no more", "nats": "nothing needs it"}
    removals = pruned(causes, {"orders": UP, "search": UP, "kept": UP})
    assert removals == (
        Action("remove", "orders", "its step declares it no more", "orders"),
        Action("remove", "search", "its step is gone", "search"),
    )


def test_how_the_whole_platform_runs_goes_by_its_own_digest() -> None:
    production = Production((ORDERS,), (), ("orders",), 2, 4, 70, automatic=True)
    desired = Desired(Declaration(production=production), {PRODUCTION: "p1"})
    assert [str(each) for each in whole(desired, {})] == ["create   production: it does not exist"]
    rules = Observed(PRODUCTION, "policy", "ready", "p1", 1, 1, "", ())
    kept, replaced = "keep     production: unchanged and ready", "replace  production: what it is made from changed"
    assert [str(each) for each in whole(desired, {PRODUCTION: rules})] == [kept]
    assert [str(each) for each in whole(desired, {PRODUCTION: replace(rules, digest="p0")})] == [replaced]
    unknown = Desired(desired.declaration)
    assert [str(each) for each in whole(unknown, {PRODUCTION: rules})] == [kept]


@dataclass(frozen=True)
class Leaving:
    """A target whose `execute` ends the process."""

    async def prepare(self, *_: object) -> tuple[Action, ...]:
        return ()

    async def reconcile(self, unit: Orders) -> tuple[Action, ...]:
        return (Action("create", unit.name, "it does not exist", unit.name),)

    async def execute(self, *_: object) -> None:
        sys.exit(3)

    async def need(self, *_: object) -> bool:
        return True


@dataclass(frozen=True)
class Orders:
    name: str = "orders"
    needs: tuple[str, ...] = ()


async def test_a_target_that_ends_the_process_while_it_executes_fails_with_an_error_instead() -> None:
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        await converge(Leaving(), [Orders()], Locks(), discard)


KEPT = Action("keep", "a-1", "unchanged and ready", "a")
CREATED = Action("create", "a-2", "it does not exist", "a")
STARTED = Action("start", "a-3", "it is stopped", "a")
REPLACED = Action("replace", "a-4", "its image changed", "a")
REMOVED = Action("remove", "a-5", "one too many", "a")


@dataclass
class Recorder:
    """A target that writes down what it is asked, when, and where progress goes."""

    actions: Mapping[str, tuple[Action, ...]] = field(default_factory=dict)
    prepared: Mapping[str, tuple[Action, ...]] = field(default_factory=dict)
    there: frozenset[str] = frozenset()  # what other declarations created
    log: list[str] = field(default_factory=list)
    told: list[Say] = field(default_factory=list)
    failing: str = ""

    async def prepare(self, unit: Orders, say: Say) -> tuple[Action, ...]:
        self.told.append(say)
        await self._done(f"prepare {unit.name}")
        return self.prepared.get(unit.name, ())

    async def reconcile(self, unit: Orders) -> tuple[Action, ...]:
        await self._done(f"reconcile {unit.name}")
        return self.actions.get(unit.name, ())

    async def execute(self, unit: Orders, action: Action, say: Say) -> None:
        self.told.append(say)
        await self._done(f"{action.verb} {action.name} of {unit.name}")

    async def need(self, name: str, say: Say) -> bool:
        self.told.append(say)
        await self._done(f"need {name}")
        return name in self.there

    async def _done(self, what: str) -> None:
        """Note the beginning and the end, with room for whatever else can go on."""
        self.log.append(f"{what} begins")
        for _ in range(5):
            await asyncio.sleep(0)
        if what == self.failing:
            raise PermanentError(f"{what} fails")
        self.log.append(f"{what} ends")


async def test_what_only_adds_is_done_at_the_same_time_and_the_rest_one_by_one_after_it() -> None:
    target = Recorder({"a": (REPLACED, KEPT, CREATED, REMOVED, STARTED)})
    assert await converge(target, [Orders("a")], Locks(), discard) == (REPLACED, KEPT, CREATED, REMOVED, STARTED)
    assert target.log[4:] == [
        *(f"{each} of a begins" for each in ("keep a-1", "create a-2", "start a-3")),
        *(f"{each} of a ends" for each in ("keep a-1", "create a-2", "start a-3")),
        *(f"{each} of a {when}" for each in ("replace a-4", "remove a-5") for when in ("begins", "ends")),
    ]


async def test_what_is_done_is_told_and_what_is_kept_is_not() -> None:
    said: list[Progress] = []
    target = Recorder({"a": (KEPT, CREATED)}, there=frozenset({"nats"}))
    await converge(target, [Orders("a", ("nats",))], Locks(), said.append)
    assert said == [Progress("`a-2`", "create `a-2`: it does not exist")]
    assert target.told == [said.append] * 4


async def test_what_was_prepared_is_part_of_what_was_done_unit_by_unit() -> None:
    pulled = Action("pull", "image", "it is not there", "a")
    target = Recorder({"b": (STARTED,), "a": (CREATED,)}, {"a": (pulled,)})
    assert await converge(target, [Orders("a", ("b",)), Orders("b")], Locks(), discard) == (pulled, CREATED, STARTED)


async def test_turn_of_a_unit_comes_when_what_it_needs_is_ready_and_is_prepared_before_that() -> None:
    target = Recorder({"b": (STARTED,)}, there=frozenset({"nats"}))
    await converge(target, [Orders("a", ("b", "nats")), Orders("b")], Locks(), discard)
    log = target.log
    assert log.index("prepare a ends") < log.index("start a-3 of b begins")
    assert log.index("start a-3 of b ends") < log.index("reconcile a begins")
    assert log.index("need nats ends") < log.index("reconcile a begins")
    assert "need b begins" not in log


async def test_unit_that_needs_what_nothing_created_fails_and_is_not_touched() -> None:
    target = Recorder()
    with pytest.raises(PermanentError) as caught:
        await converge(target, [Orders("a", ("nats",))], Locks(), discard)
    assert caught.value.message == "`a` needs `nats`, which does not exist"
    assert target.log == ["prepare a begins", "prepare a ends", "need nats begins", "need nats ends"]


async def test_first_error_is_raised_as_it_is_and_ends_what_is_under_way_elsewhere() -> None:
    target = Recorder({"a": (CREATED,), "b": (REMOVED,)}, failing="reconcile a")
    with pytest.raises(PermanentError, match=r"^reconcile a fails$"):
        await converge(target, [Orders("a"), Orders("b", ("a",))], Locks(), discard)
    assert not [line for line in target.log if line.startswith(("reconcile b", "remove", "create"))]


async def test_two_steps_that_declare_the_same_unit_take_turns_and_others_do_not_wait() -> None:
    target, locks = Recorder({"a": (CREATED,)}), Locks()
    both = (converge(target, [Orders("a")], locks, discard) for _ in range(2))
    await asyncio.gather(*both, converge(target, [Orders("b")], locks, discard))
    begun = [at for at, line in enumerate(target.log) if line == "prepare a begins"]
    ended = [at for at, line in enumerate(target.log) if line == "create a-2 of a ends"]
    assert begun[0] < ended[0] < begun[1] < ended[1]
    assert target.log.index("prepare b begins") < target.log.index("prepare a ends")


async def waited(*answers: Answer, deadline: float = 60.0, **late: str) -> tuple[list[Progress], str]:
    """Wait with these answers, the last of which stays; return what was said, and the error."""
    said: list[Progress] = []
    left: Iterator[Answer] = iter(answers)

    async def look() -> Answer:
        return next(left, answers[-1])

    async def failure(what: str, kind: type[PermanentError]) -> PermanentError:
        return kind(f"`orders` {what}")

    try:
        await wait("orders", look, deadline=deadline, step=0.0, say=said.append, failure=failure, **late)
    except PermanentError as error:
        return said, f"{type(error).__name__}: {error.message}"
    return said, ""


async def test_each_new_answer_is_said_once_until_it_is_ready() -> None:
    no, soon, yes = Answer(ready=False, text="503"), Answer(ready=False, text="504"), Answer(ready=True, text="200")
    assert await waited(no, no, soon, yes) == ([Progress("`orders`", "503"), Progress("`orders`", "504")], "")


async def test_answer_that_stays_is_said_again_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepflow.targets.converge._REMINDER", 0.0)
    no, yes = Answer(ready=False, text="503"), Answer(ready=True, text="200")
    assert await waited(no, no, no, yes) == ([Progress("`orders`", "503")] * 3, "")
    mute = Answer(ready=False, text="")
    assert await waited(mute, mute, yes) == ([], "")


async def test_what_cannot_get_ready_and_what_takes_too_long_end_the_wait_with_what_was_answered_last() -> None:
    down = Answer(ready=False, text="exited with code 1", failed=True)
    assert await waited(down) == ([], "PermanentError: `orders` exited with code 1")
    slow, error = Answer(ready=False, text="503"), LateError.__name__
    assert (await waited(slow, deadline=-1.0))[1] == f"{error}: `orders` is not ready after -1 s; the last answer: 503"
    mute = await waited(replace(slow, text=""), deadline=-1.0)
    assert mute == ([], f"{error}: `orders` is not ready after -1 s; the last answer: none")
    going = Answer(ready=False, text="`a` is shutting down")
    assert (await waited(going, deadline=-1.0, late="still has pods"))[1] == (
        f"{error}: `orders` still has pods after -1 s; the last answer: `a` is shutting down"
    )


def test_the_kubernetes_target_waits_in_no_loop_of_its_own() -> None:
    folder = Path(__file__).parents[2] / "src/stepflow/targets/kubernetes/converge"
    assert [file.name for file in folder.glob("*.py") if "sleep(" in file.read_text("utf-8")] == []
